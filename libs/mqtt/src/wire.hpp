// Reading and writing of the standard's data representations (section 1.5).
#pragma once

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>

#include <millrace/mqtt/properties.hpp>
#include <millrace/mqtt/protocol.hpp>

namespace millrace::mqtt {

inline constexpr Fault malformed(const char* rule) { return {ReasonCode::kMalformedPacket, rule}; }
inline constexpr Fault protocol_error(const char* rule) { return {ReasonCode::kProtocolError, rule}; }

/// Takes values off the front of a stretch of bytes. Every take returns false, and takes nothing, when the bytes end
/// too early.
class Cursor {
 public:
  explicit Cursor(std::string_view bytes) : rest_(bytes) {}

  bool empty() const { return rest_.empty(); }
  std::string_view rest() const { return rest_; }

  bool u8(std::uint8_t& out) {
    if (rest_.empty()) return false;
    out = byte(0);
    rest_.remove_prefix(1);
    return true;
  }
  bool u16(std::uint16_t& out) {
    if (rest_.size() < 2) return false;
    out = static_cast<std::uint16_t>((byte(0) << 8) | byte(1));
    rest_.remove_prefix(2);
    return true;
  }
  bool u32(std::uint32_t& out) {
    if (rest_.size() < 4) return false;
    out = (std::uint32_t{byte(0)} << 24) | (std::uint32_t{byte(1)} << 16) | (std::uint32_t{byte(2)} << 8) | byte(3);
    rest_.remove_prefix(4);
    return true;
  }
  /// Section 1.5.5: at most four bytes and no longer than needed ([MQTT-1.5.5-1]).
  bool variable(std::uint32_t& out) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4 && i < rest_.size(); ++i) {
      value |= std::uint32_t{byte(i) & 0x7FU} << (7 * i);
      if (byte(i) < 0x80) {
        if (i > 0 && byte(i) == 0) return false;
        rest_.remove_prefix(i + 1);
        out = value;
        return true;
      }
    }
    return false;
  }
  /// Two bytes of length, then as many bytes.
  bool binary(std::string_view& out) {
    std::uint16_t size = 0;
    if (rest_.size() < 2) return false;
    size = static_cast<std::uint16_t>((byte(0) << 8) | byte(1));
    if (rest_.size() - 2 < size) return false;
    out = rest_.substr(2, size);
    rest_.remove_prefix(std::size_t{2} + size);
    return true;
  }
  bool take(std::size_t size, std::string_view& out) {
    if (rest_.size() < size) return false;
    out = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }

 private:
  std::uint8_t byte(std::size_t i) const { return static_cast<std::uint8_t>(rest_[i]); }
  std::string_view rest_;
};

inline void put_u8(std::uint8_t value, std::string& out) { out.push_back(static_cast<char>(value)); }
inline void put_u16(std::uint16_t value, std::string& out) {
  const char bytes[2] = {static_cast<char>(value >> 8), static_cast<char>(value & 0xFF)};
  out.append(bytes, 2);
}
inline void put_u32(std::uint32_t value, std::string& out) {
  put_u16(static_cast<std::uint16_t>(value >> 16), out);
  put_u16(static_cast<std::uint16_t>(value & 0xFFFF), out);
}
inline constexpr std::size_t variable_size(std::size_t value) {
  return value < 128 ? 1 : value < 16'384 ? 2 : value < 2'097'152 ? 3 : 4;
}
inline void put_variable(std::size_t value, std::string& out) {
  if (value > kMaxRemainingLength) throw std::length_error("MQTT: a length above 268,435,455");
  while (value >= 128) {
    put_u8(static_cast<std::uint8_t>(value | 0x80), out);
    value >>= 7;
  }
  put_u8(static_cast<std::uint8_t>(value), out);
}
inline void put_binary(std::string_view value, std::string& out) {
  if (value.size() > 0xFFFF) throw std::length_error("MQTT: a string above 65,535 bytes");
  put_u16(static_cast<std::uint16_t>(value.size()), out);
  out.append(value);
}

/// Where properties stand; a set of bits in the property table.
enum class PropertyPlace : std::uint32_t {
  kConnect = 1U << 1,
  kConnack = 1U << 2,
  kPublish = 1U << 3,
  kPuback = 1U << 4,
  kPubrec = 1U << 5,
  kPubrel = 1U << 6,
  kPubcomp = 1U << 7,
  kSubscribe = 1U << 8,
  kSuback = 1U << 9,
  kUnsubscribe = 1U << 10,
  kUnsuback = 1U << 11,
  kDisconnect = 1U << 14,
  kAuth = 1U << 15,
  kWill = 1U << 16,
};

struct PropertyDecoder {
  /// Takes the property length and the properties off the cursor and checks them (section 2.2.2 and the packet's own).
  static Fault take(Cursor& cursor, PropertyPlace place, Properties& out);
};

}  // namespace millrace::mqtt
