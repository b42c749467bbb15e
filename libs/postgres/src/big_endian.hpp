#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace millrace::postgres {

/// Appends an unsigned integer in network order.
template <typename T>
void append_big_endian(std::string& out, T value) {
  std::array<char, sizeof(T)> bytes;
  for (std::size_t i = 0; i < sizeof(T); ++i) bytes[i] = static_cast<char>(value >> (8 * (sizeof(T) - 1 - i)));
  out.append(bytes.data(), bytes.size());
}

template <typename T>
[[nodiscard]] T load_big_endian(const char* data) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i)
    value = static_cast<T>((value << 8) | static_cast<unsigned char>(data[i]));
  return value;
}

}  // namespace millrace::postgres
