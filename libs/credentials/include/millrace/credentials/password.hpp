#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <millrace/base/result.hpp>

namespace millrace::credentials {

inline constexpr std::size_t kLeastPasswordBytes = 8;
inline constexpr std::size_t kMostPasswordBytes = 1024;

/// Argon2id (RFC 9106, version 19) with a fresh salt of 16 bytes, 19 MiB, two passes and one lane (the costs that OWASP
/// names), as a PHC string: `$argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>`. kInvalid for a password out of bounds,
/// kUnavailable without the memory. Thread-safe; tens of milliseconds of processor time on the calling thread.
[[nodiscard]] Result<std::string> hash_password(std::string_view password);

/// Whether verify_password() would compute it: Argon2id of version 19, at most 64 MiB, 10 passes and 4 lanes, a salt of
/// 8 to 64 bytes and a hash of 16 to 64. kInvalid names what is out of bounds, so that an entry of somebody else cannot
/// make a gateway spend gigabytes. Cheap.
[[nodiscard]] Status check_phc(std::string_view phc);

/// Whether it is the password, compared in constant time; a password out of bounds is not. kInvalid as check_phc(),
/// kUnavailable without the memory. Thread-safe; tens of milliseconds of processor time on the calling thread (for the
/// costs of hash_password()), no other threads.
[[nodiscard]] Result<bool> verify_password(std::string_view phc, std::string_view password);

}  // namespace millrace::credentials
