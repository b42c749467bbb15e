// MQTT 5 properties without copies: a validated stretch of the caller's bytes, read on demand.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <millrace/mqtt/protocol.hpp>

namespace millrace::mqtt {

/// One property. Numbers (of one, two, four bytes or variable length) are in `number`, strings and binary data in
/// `text`; a user property has its name in `text` and its value in `value`.
struct Property {
  PropertyId id{};
  std::uint32_t number = 0;
  std::string_view text;
  std::string_view value;
};

class Properties;

/// Walks the properties in the order in which they were sent.
class PropertyReader {
 public:
  explicit PropertyReader(const Properties& properties);
  /// False when there is none left.
  bool next(Property& out);

 private:
  std::string_view rest_;
};

/// A view of properties that have passed the decoder (or were written by a PropertyWriter). It points into the buffer
/// that was decoded: valid as long as those bytes stay. Copying it is cheap. Look-ups of an absent property cost a bit
/// test, of a present one a walk.
class Properties {
 public:
  Properties() = default;

  bool empty() const { return bytes_.empty(); }
  /// The properties as on the wire, without their length.
  std::string_view bytes() const { return bytes_; }
  bool has(PropertyId id) const { return ((present_ >> static_cast<unsigned>(id)) & 1U) != 0; }
  std::optional<std::uint32_t> number(PropertyId id) const;
  std::optional<std::string_view> text(PropertyId id) const;
  /// The value of the first user property of that name.
  std::optional<std::string_view> user(std::string_view name) const;
  PropertyReader reader() const { return PropertyReader(*this); }

 private:
  friend class PropertyWriter;
  friend struct PropertyDecoder;
  Properties(std::string_view bytes, std::uint64_t present) : bytes_(bytes), present_(present) {}

  std::string_view bytes_;
  std::uint64_t present_ = 0;
};

/// Builds properties for an encoder. Reusable: clear() keeps the memory. Throws std::length_error for a text of more
/// than 65,535 bytes. Which property may go into which packet is the caller's business; the decoder of the other side
/// will tell.
class PropertyWriter {
 public:
  PropertyWriter& add(PropertyId id, std::uint32_t number);
  PropertyWriter& add(PropertyId id, std::string_view text);
  PropertyWriter& add_user(std::string_view name, std::string_view value);
  /// Properties as on the wire (Properties::bytes()), unchecked; view().has() does not know them.
  PropertyWriter& add_encoded(std::string_view bytes);
  void clear();
  /// Valid until the next change of the writer.
  Properties view() const { return {bytes_, present_}; }

 private:
  std::string bytes_;
  std::uint64_t present_ = 0;
};

}  // namespace millrace::mqtt
