#pragma once

#include <cstddef>
#include <string>

#include <millrace/base/digest.hpp>

namespace millrace {

/// Longest key that tinydtls holds (its key buffer is that of AES-128); mbedTLS takes 32.
inline constexpr std::size_t kPskBytes = 16;

/// The pre-shared key of a device over DTLS (RFC 4279): the first 16 characters of the base64url form (RFC 4648
/// section 5) of the SHA-256 of its token, as bytes. 96 bits that every client can type and every stack can hold.
[[nodiscard]] std::string psk_of(const Sha256& token);

}  // namespace millrace
