#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <millrace/base/result.hpp>

namespace millrace {

using Sha256 = std::array<std::uint8_t, 32>;

/// SHA-256 (FIPS 180-4). Thread-safe.
[[nodiscard]] Sha256 sha256(std::string_view bytes);

/// HMAC-SHA256 (FIPS 198-1). Thread-safe.
[[nodiscard]] Sha256 hmac_sha256(std::string_view key, std::string_view bytes);

/// 64-bit hash for telling payloads apart (wyhash-style multiply-fold; stable across builds, not cryptographic).
/// `seed` chains several parts: hash64(b, hash64(a)).
[[nodiscard]] std::uint64_t hash64(std::string_view bytes, std::uint64_t seed = 0);

/// CRC-32C (Castagnoli), as in Kafka record batches.
[[nodiscard]] std::uint32_t crc32c(std::string_view bytes);

/// Compares in time that depends on the length only.
[[nodiscard]] bool equal_constant_time(std::string_view a, std::string_view b);

/// `count` bytes of the operating system's cryptographic generator; ends the process if it has none.
[[nodiscard]] std::string random_bytes(std::size_t count);

/// `count` random bytes as base64url without padding, for tokens and keys.
[[nodiscard]] std::string random_token(std::size_t count);

[[nodiscard]] std::string to_hex(std::string_view bytes);
[[nodiscard]] Result<std::string> from_hex(std::string_view text);

/// RFC 4648 section 4 with padding. from_base64 refuses anything else.
[[nodiscard]] std::string to_base64(std::string_view bytes);
[[nodiscard]] Result<std::string> from_base64(std::string_view text);

/// RFC 4648 section 5 without padding.
[[nodiscard]] std::string to_base64url(std::string_view bytes);

/// View of a digest's bytes.
[[nodiscard]] inline std::string_view bytes_of(const Sha256& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

}  // namespace millrace
