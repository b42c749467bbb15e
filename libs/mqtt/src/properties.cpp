#include <array>

#include <millrace/mqtt/properties.hpp>

#include "wire.hpp"

namespace millrace::mqtt {
namespace {

enum class Kind : std::uint8_t { kNone, kFlag, kU16, kU32, kVariable, kUtf8, kTopic, kBinary, kPair };
enum class Zero : std::uint8_t { kAllowed, kRefused };

struct Definition {
  Kind kind = Kind::kNone;
  std::uint32_t places = 0;
  Zero zero = Zero::kAllowed;
};

template <typename... Places>
constexpr std::uint32_t in(Places... places) {
  return (static_cast<std::uint32_t>(places) | ...);
}

using P = PropertyPlace;
constexpr std::size_t kIds = 0x2B;

/// Table 2-4: what each property is and where it may stand.
constexpr std::array<Definition, kIds> make_definitions() {
  std::array<Definition, kIds> table{};
  constexpr auto kEverywhere =
      in(P::kConnect, P::kConnack, P::kPublish, P::kPuback, P::kPubrec, P::kPubrel, P::kPubcomp, P::kSubscribe,
         P::kSuback, P::kUnsubscribe, P::kUnsuback, P::kDisconnect, P::kAuth, P::kWill);
  constexpr auto kReasonPlaces = in(P::kConnack, P::kPuback, P::kPubrec, P::kPubrel, P::kPubcomp, P::kSuback,
                                    P::kUnsuback, P::kDisconnect, P::kAuth);
  constexpr auto kMessage = in(P::kPublish, P::kWill);
  constexpr auto kLimits = in(P::kConnect, P::kConnack);
  constexpr auto kConnack = in(P::kConnack);
  table[0x01] = {Kind::kFlag, kMessage};
  table[0x02] = {Kind::kU32, kMessage};
  table[0x03] = {Kind::kUtf8, kMessage};
  table[0x08] = {Kind::kTopic, kMessage};
  table[0x09] = {Kind::kBinary, kMessage};
  table[0x0B] = {Kind::kVariable, in(P::kPublish, P::kSubscribe), Zero::kRefused};
  table[0x11] = {Kind::kU32, in(P::kConnect, P::kConnack, P::kDisconnect)};
  table[0x12] = {Kind::kUtf8, kConnack};
  table[0x13] = {Kind::kU16, kConnack};
  table[0x15] = {Kind::kUtf8, in(P::kConnect, P::kConnack, P::kAuth)};
  table[0x16] = {Kind::kBinary, in(P::kConnect, P::kConnack, P::kAuth)};
  table[0x17] = {Kind::kFlag, in(P::kConnect)};
  table[0x18] = {Kind::kU32, in(P::kWill)};
  table[0x19] = {Kind::kFlag, in(P::kConnect)};
  table[0x1A] = {Kind::kUtf8, kConnack};
  table[0x1C] = {Kind::kUtf8, in(P::kConnack, P::kDisconnect)};
  table[0x1F] = {Kind::kUtf8, kReasonPlaces};
  table[0x21] = {Kind::kU16, kLimits, Zero::kRefused};
  table[0x22] = {Kind::kU16, kLimits};
  table[0x23] = {Kind::kU16, in(P::kPublish), Zero::kRefused};
  table[0x24] = {Kind::kFlag, kConnack};
  table[0x25] = {Kind::kFlag, kConnack};
  table[0x26] = {Kind::kPair, kEverywhere};
  table[0x27] = {Kind::kU32, kLimits, Zero::kRefused};
  table[0x28] = {Kind::kFlag, kConnack};
  table[0x29] = {Kind::kFlag, kConnack};
  table[0x2A] = {Kind::kFlag, kConnack};
  return table;
}

constexpr auto kDefinitions = make_definitions();

/// Takes one value; false when the bytes end or the value is no such thing.
bool take_value(Cursor& cursor, Kind kind, Property& out) {
  switch (kind) {
    case Kind::kFlag: {
      std::uint8_t value = 0;
      if (!cursor.u8(value)) return false;
      out.number = value;
      return true;
    }
    case Kind::kU16: {
      std::uint16_t value = 0;
      if (!cursor.u16(value)) return false;
      out.number = value;
      return true;
    }
    case Kind::kU32:
      return cursor.u32(out.number);
    case Kind::kVariable:
      return cursor.variable(out.number);
    case Kind::kUtf8:
    case Kind::kTopic:
    case Kind::kBinary:
      return cursor.binary(out.text);
    case Kind::kPair:
      return cursor.binary(out.text) && cursor.binary(out.value);
    case Kind::kNone:
      return false;
  }
  return false;
}

Fault check_value(const Definition& definition, const Property& property) {
  switch (definition.kind) {
    case Kind::kFlag:
      if (property.number > 1) return protocol_error("2.2.2.2 this property is 0 or 1");
      break;
    case Kind::kUtf8:
      if (!valid_utf8(property.text)) return malformed("1.5.4 a property is no UTF-8 string");
      break;
    case Kind::kPair:
      if (!valid_utf8(property.text) || !valid_utf8(property.value)) {
        return malformed("1.5.7 a user property is no UTF-8 string pair");
      }
      break;
    case Kind::kTopic:
      if (!valid_utf8(property.text)) return malformed("1.5.4 a property is no UTF-8 string");
      if (!valid_topic_name(property.text)) return protocol_error("3.3.2.3.5 response topic is no topic name");
      break;
    case Kind::kU16:
    case Kind::kU32:
    case Kind::kVariable:
      if (definition.zero == Zero::kRefused && property.number == 0) {
        if (property.id == PropertyId::kTopicAlias) {
          return {ReasonCode::kTopicAliasInvalid, "3.3.2.3.4 topic alias 0"};
        }
        return protocol_error("2.2.2.2 this property is not 0");
      }
      break;
    case Kind::kNone:
    case Kind::kBinary:
      break;
  }
  return {};
}

/// Subscription identifiers of several matching subscriptions come in one PUBLISH (3.3.2.3.8).
bool repeatable(PropertyId id, PropertyPlace place) {
  return id == PropertyId::kUserProperty ||
         (id == PropertyId::kSubscriptionIdentifier && place == PropertyPlace::kPublish);
}

Fault take_property(Cursor& cursor, PropertyPlace place, std::uint64_t& present) {
  // Identifiers are variable byte integers (2.2.2.2), all of which fit one byte so far.
  std::uint32_t id = 0;
  if (!cursor.variable(id)) return malformed("2.2.2.2 property identifier");
  if (id >= kIds || kDefinitions[id].kind == Kind::kNone) return malformed("2.2.2.2 unknown property identifier");
  const Definition& definition = kDefinitions[id];
  if ((definition.places & static_cast<std::uint32_t>(place)) == 0) {
    return protocol_error("2.2.2.2 a property that does not belong into this packet");
  }
  Property property{static_cast<PropertyId>(id), 0, {}, {}};
  if (!take_value(cursor, definition.kind, property)) return malformed("2.2.2.2 property ends too early");
  const std::uint64_t bit = std::uint64_t{1} << id;
  if ((present & bit) != 0 && !repeatable(property.id, place)) {
    return protocol_error("2.2.2.2 a property twice that may be there once");
  }
  present |= bit;
  return check_value(definition, property);
}

}  // namespace

Fault PropertyDecoder::take(Cursor& cursor, PropertyPlace place, Properties& out) {
  std::uint32_t size = 0;
  std::string_view bytes;
  if (!cursor.variable(size)) return malformed("2.2.2.1 property length");
  if (!cursor.take(size, bytes)) return malformed("2.2.2.1 property length goes beyond the packet");
  std::uint64_t present = 0;
  for (Cursor inner(bytes); !inner.empty();) {
    if (Fault fault = take_property(inner, place, present)) return fault;
  }
  out = Properties(bytes, present);
  return {};
}

PropertyReader::PropertyReader(const Properties& properties) : rest_(properties.bytes()) {}

bool PropertyReader::next(Property& out) {
  Cursor cursor(rest_);
  std::uint32_t id = 0;
  if (!cursor.variable(id) || id >= kIds) return false;
  out = Property{static_cast<PropertyId>(id), 0, {}, {}};
  if (!take_value(cursor, kDefinitions[id].kind, out)) return false;
  rest_ = cursor.rest();
  return true;
}

std::optional<std::uint32_t> Properties::number(PropertyId id) const {
  if (!has(id)) return std::nullopt;
  PropertyReader reader(*this);
  for (Property property; reader.next(property);) {
    if (property.id == id) return property.number;
  }
  return std::nullopt;
}

std::optional<std::string_view> Properties::text(PropertyId id) const {
  if (!has(id)) return std::nullopt;
  PropertyReader reader(*this);
  for (Property property; reader.next(property);) {
    if (property.id == id) return property.text;
  }
  return std::nullopt;
}

std::optional<std::string_view> Properties::user(std::string_view name) const {
  if (!has(PropertyId::kUserProperty)) return std::nullopt;
  PropertyReader reader(*this);
  for (Property property; reader.next(property);) {
    if (property.id == PropertyId::kUserProperty && property.text == name) return property.value;
  }
  return std::nullopt;
}

PropertyWriter& PropertyWriter::add(PropertyId id, std::uint32_t number) {
  const auto index = static_cast<std::uint8_t>(id);
  if (number > kMaxRemainingLength && kDefinitions.at(index).kind == Kind::kVariable) {
    throw std::length_error("MQTT: a variable byte integer above 268,435,455");
  }
  put_u8(index, bytes_);
  switch (kDefinitions.at(index).kind) {
    case Kind::kFlag:
      put_u8(static_cast<std::uint8_t>(number), bytes_);
      break;
    case Kind::kU16:
      put_u16(static_cast<std::uint16_t>(number), bytes_);
      break;
    case Kind::kU32:
      put_u32(number, bytes_);
      break;
    case Kind::kVariable:
      put_variable(number, bytes_);
      break;
    case Kind::kNone:
    case Kind::kUtf8:
    case Kind::kTopic:
    case Kind::kBinary:
    case Kind::kPair:
      throw std::invalid_argument("MQTT: this property is no number");
  }
  present_ |= std::uint64_t{1} << index;
  return *this;
}

PropertyWriter& PropertyWriter::add(PropertyId id, std::string_view text) {
  if (text.size() > 0xFFFF) throw std::length_error("MQTT: a property above 65,535 bytes");
  const auto index = static_cast<std::uint8_t>(id);
  put_u8(index, bytes_);
  put_binary(text, bytes_);
  present_ |= std::uint64_t{1} << index;
  return *this;
}

PropertyWriter& PropertyWriter::add_user(std::string_view name, std::string_view value) {
  if (name.size() > 0xFFFF || value.size() > 0xFFFF) throw std::length_error("MQTT: a property above 65,535 bytes");
  put_u8(static_cast<std::uint8_t>(PropertyId::kUserProperty), bytes_);
  put_binary(name, bytes_);
  put_binary(value, bytes_);
  present_ |= std::uint64_t{1} << static_cast<unsigned>(PropertyId::kUserProperty);
  return *this;
}

PropertyWriter& PropertyWriter::add_encoded(std::string_view bytes) {
  bytes_.append(bytes);
  return *this;
}

void PropertyWriter::clear() {
  bytes_.clear();
  present_ = 0;
}

}  // namespace millrace::mqtt
