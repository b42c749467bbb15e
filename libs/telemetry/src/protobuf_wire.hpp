#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace millrace::telemetry {

/// The fields of one message as they stand in its bytes (https://protobuf.dev/programming-guides/encoding/). Views
/// point into them.
class ProtobufWire {
 public:
  enum class Type : std::uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

  explicit ProtobufWire(std::string_view message) : at_(message.data()), end_(message.data() + message.size()) {}

  std::uint32_t field = 0;
  Type type = Type::kVarint;
  std::uint64_t bits = 0;  // of all but kBytes
  std::string_view bytes;  // of kBytes

  /// False at the end, and where it is cut or malformed: then broken() is true.
  [[nodiscard]] bool next() {
    if (at_ == end_) return false;
    broken_ = !read();
    return !broken_;
  }
  [[nodiscard]] bool broken() const { return broken_; }
  [[nodiscard]] const char* at() const { return at_; }
  [[nodiscard]] bool is(std::uint32_t number, Type expected) const { return field == number && type == expected; }

 private:
  bool read() {
    std::uint64_t tag = 0;
    if (!varint(tag) || tag >> 3U == 0 || tag >> 3U > 0x1fffffff) return false;
    field = static_cast<std::uint32_t>(tag >> 3U);
    type = static_cast<Type>(tag & 7U);
    switch (type) {
      case Type::kVarint:
        return varint(bits);
      case Type::kFixed64:
        return fixed(8);
      case Type::kFixed32:
        return fixed(4);
      case Type::kBytes: {
        std::uint64_t size = 0;
        if (!varint(size) || size > static_cast<std::uint64_t>(end_ - at_)) return false;
        bytes = {at_, size};
        at_ += size;
        return true;
      }
    }
    return false;  // groups, which proto3 does not have
  }
  bool varint(std::uint64_t& out) {
    if (at_ != end_ && (*at_ & 0x80) == 0) {
      out = static_cast<unsigned char>(*at_++);
      return true;
    }
    out = 0;
    for (unsigned shift = 0; at_ != end_ && shift < 70; shift += 7) {
      const auto byte = static_cast<unsigned char>(*at_++);
      if (shift == 63 && byte > 1) return false;
      out |= static_cast<std::uint64_t>(byte & 0x7fU) << shift;
      if ((byte & 0x80U) == 0) return true;
    }
    return false;
  }
  bool fixed(std::ptrdiff_t size) {
    if (end_ - at_ < size) return false;
    bits = 0;
    std::memcpy(&bits, at_, static_cast<std::size_t>(size));
    if constexpr (std::endian::native == std::endian::big) bits = __builtin_bswap64(bits);
    at_ += size;
    return true;
  }

  const char* at_;
  const char* end_;
  bool broken_ = false;
};

}  // namespace millrace::telemetry
