#pragma once

#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>

namespace millrace::archive_format {

template <std::integral T>
void append_little_endian(std::string& out, T value) {
  const auto bits = static_cast<std::make_unsigned_t<T>>(value);
  for (std::size_t i = 0; i < sizeof(T); ++i) out += static_cast<char>(static_cast<unsigned char>(bits >> (8 * i)));
}

/// `bytes` holds at least sizeof(T).
template <std::integral T>
[[nodiscard]] T load_little_endian(std::string_view bytes) {
  std::make_unsigned_t<T> bits = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    bits = static_cast<std::make_unsigned_t<T>>(
        bits | static_cast<std::make_unsigned_t<T>>(
                   static_cast<std::make_unsigned_t<T>>(static_cast<unsigned char>(bytes[i])) << (8 * i)));
  }
  return static_cast<T>(bits);
}

}  // namespace millrace::archive_format
