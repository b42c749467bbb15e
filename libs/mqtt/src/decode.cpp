#include <millrace/mqtt/codec.hpp>

#include "reason_tables.hpp"
#include "wire.hpp"

namespace millrace::mqtt {
namespace {

/// Section 2.1.3: the flags of all packets but PUBLISH are fixed.
bool flags_allowed(PacketType type, std::uint8_t flags) {
  switch (type) {
    case PacketType::kPublish:
      return true;
    case PacketType::kPubrel:
    case PacketType::kSubscribe:
    case PacketType::kUnsubscribe:
      return flags == 0x02;
    case PacketType::kConnect:
    case PacketType::kConnack:
    case PacketType::kPuback:
    case PacketType::kPubrec:
    case PacketType::kPubcomp:
    case PacketType::kSuback:
    case PacketType::kUnsuback:
    case PacketType::kPingreq:
    case PacketType::kPingresp:
    case PacketType::kDisconnect:
    case PacketType::kAuth:
      return flags == 0;
  }
  return false;
}

PropertyPlace place_of(PacketType type) { return static_cast<PropertyPlace>(1U << static_cast<unsigned>(type)); }

Fault take_packet_id(Cursor& cursor, std::uint16_t& packet_id) {
  if (!cursor.u16(packet_id)) return malformed("2.2.1 packet identifier is missing");
  if (packet_id == 0) return protocol_error("2.2.1 packet identifier 0");
  return {};
}

Fault take_properties(Cursor& cursor, Version version, PropertyPlace place, Properties& out) {
  if (version == Version::k311) {
    out = {};
    return {};
  }
  return PropertyDecoder::take(cursor, place, out);
}

/// Tells a topic that is no UTF-8 (malformed) from one that is no topic name.
Fault check_topic(std::string_view topic) {
  if (valid_topic_name(topic)) return {};
  if (!valid_utf8(topic)) return malformed("3.3.2.1 topic name is no UTF-8 string");
  return {ReasonCode::kTopicNameInvalid, "3.3.2.1 topic name is empty or has a wildcard"};
}

/// Section 3.1.2.1 and 3.1.2.2.
Fault take_protocol(Cursor& cursor, Connect& out) {
  std::string_view name;
  std::uint8_t level = 0;
  out.version = Version::k311;
  if (!cursor.binary(name) || !cursor.u8(level)) return malformed("3.1.2 CONNECT ends too early");
  if (name == "MQIsdp") return {ReasonCode::kUnsupportedProtocolVersion, "3.1.2.1 this is MQTT 3.1"};
  if (name != "MQTT") return malformed("3.1.2.1 protocol name is not MQTT");
  if (level >= 5) out.version = Version::k5;
  if (level != 4 && level != 5) return {ReasonCode::kUnsupportedProtocolVersion, "3.1.2.2 protocol version"};
  return {};
}

struct ConnectFlags {
  std::uint8_t bits = 0;
  bool user_name() const { return (bits & 0x80) != 0; }
  bool password() const { return (bits & 0x40) != 0; }
  bool will_retain() const { return (bits & 0x20) != 0; }
  std::uint8_t will_qos() const { return (bits >> 3) & 0x03; }
  bool will() const { return (bits & 0x04) != 0; }
  bool clean_start() const { return (bits & 0x02) != 0; }
};

/// Section 3.1.2.3 to 3.1.2.9.
Fault check_flags(ConnectFlags flags, Version version) {
  if ((flags.bits & 0x01) != 0) return malformed("3.1.2.3 reserved connect flag is set");
  if (flags.will_qos() == 3) return malformed("3.1.2.6 will QoS 3");
  if (!flags.will() && (flags.will_qos() != 0 || flags.will_retain())) {
    return malformed("3.1.2.6 will QoS or will retain without a will");
  }
  if (version == Version::k311 && flags.password() && !flags.user_name()) {
    return malformed("3.1.1 3.1.2.9 password without user name");
  }
  return {};
}

/// Section 3.1.3.2 to 3.1.3.4.
Fault take_will(Cursor& cursor, ConnectFlags flags, Version version, std::optional<Will>& out) {
  out.reset();
  if (!flags.will()) return {};
  Will& will = out.emplace();
  will.qos = static_cast<Qos>(flags.will_qos());
  will.retain = flags.will_retain();
  if (Fault fault = take_properties(cursor, version, PropertyPlace::kWill, will.properties)) return fault;
  if (!cursor.binary(will.topic)) return malformed("3.1.3.3 will topic is missing");
  if (Fault fault = check_topic(will.topic)) return fault;
  if (!cursor.binary(will.payload)) return malformed("3.1.3.4 will payload is missing");
  return {};
}

Fault check_authentication(const Properties& properties) {
  if (properties.has(PropertyId::kAuthenticationData) && !properties.has(PropertyId::kAuthenticationMethod)) {
    return protocol_error("3.1.2.11.10 authentication data without method");
  }
  return {};
}

/// Section 3.2.2.3 of 3.1.1: return codes 0 to 5.
bool from_return_code(std::uint8_t code, ReasonCode& out) {
  constexpr ReasonCode kCodes[] = {
      ReasonCode::kSuccess,           ReasonCode::kUnsupportedProtocolVersion, ReasonCode::kClientIdentifierNotValid,
      ReasonCode::kServerUnavailable, ReasonCode::kBadUserNameOrPassword,      ReasonCode::kNotAuthorized};
  if (code >= std::size(kCodes)) return false;
  out = kCodes[code];
  return true;
}

const ReasonSet& ack_reasons(PacketType type) {
  return type == PacketType::kPuback || type == PacketType::kPubrec ? kPubackReasons : kPubrelReasons;
}

}  // namespace

FrameResult next_frame(std::string_view input, std::uint32_t maximum_packet_size, Frame& frame) {
  frame.size = 0;
  if (input.empty()) return {FrameStatus::kIncomplete, {}};
  const auto first = static_cast<std::uint8_t>(input[0]);
  if (first < 0x10) return {FrameStatus::kMalformed, malformed("2.1.2 packet type 0")};
  frame.type = static_cast<PacketType>(first >> 4);
  frame.flags = first & 0x0F;
  if (!flags_allowed(frame.type, frame.flags)) return {FrameStatus::kMalformed, malformed("2.1.3 reserved flags")};

  std::uint32_t remaining = 0;
  std::size_t header = 1;
  for (unsigned shift = 0;; shift += 7) {
    if (header == input.size()) return {FrameStatus::kIncomplete, {}};
    const auto byte = static_cast<std::uint8_t>(input[header++]);
    remaining |= std::uint32_t{byte & 0x7FU} << shift;
    if (byte < 0x80) {
      if (byte == 0 && shift > 0) return {FrameStatus::kMalformed, malformed("1.5.5 length is longer than needed")};
      break;
    }
    if (shift == 21) return {FrameStatus::kMalformed, malformed("1.5.5 length of more than four bytes")};
  }
  frame.size = header + remaining;
  if (frame.size > maximum_packet_size) {
    return {FrameStatus::kTooLarge, {ReasonCode::kPacketTooLarge, "3.1.2.11.4 packet is larger than the maximum"}};
  }
  if (input.size() < frame.size) return {FrameStatus::kIncomplete, {}};
  frame.body = input.substr(header, remaining);
  return {FrameStatus::kComplete, {}};
}

Fault decode(const Frame& frame, Connect& out) {
  Cursor cursor(frame.body);
  if (Fault fault = take_protocol(cursor, out)) return fault;
  ConnectFlags flags;
  if (!cursor.u8(flags.bits)) return malformed("3.1.2.3 connect flags are missing");
  if (Fault fault = check_flags(flags, out.version)) return fault;
  out.clean_start = flags.clean_start();
  if (!cursor.u16(out.keep_alive_s)) return malformed("3.1.2.10 keep alive is missing");
  if (Fault fault = take_properties(cursor, out.version, PropertyPlace::kConnect, out.properties)) return fault;
  if (Fault fault = check_authentication(out.properties)) return fault;
  if (!cursor.binary(out.client_id)) return malformed("3.1.3.1 client identifier is missing");
  if (!valid_utf8(out.client_id)) return malformed("3.1.3.1 client identifier is no UTF-8 string");
  if (Fault fault = take_will(cursor, flags, out.version, out.will)) return fault;
  out.user_name.reset();
  out.password.reset();
  if (flags.user_name()) {
    if (!cursor.binary(out.user_name.emplace())) return malformed("3.1.3.5 user name is missing");
    if (!valid_utf8(*out.user_name)) return malformed("3.1.3.5 user name is no UTF-8 string");
  }
  if (flags.password() && !cursor.binary(out.password.emplace())) return malformed("3.1.3.6 password is missing");
  if (!cursor.empty()) return malformed("3.1.3 bytes after the payload");
  return {};
}

Fault decode(const Frame& frame, Version version, Connack& out) {
  Cursor cursor(frame.body);
  std::uint8_t flags = 0;
  std::uint8_t code = 0;
  if (!cursor.u8(flags) || !cursor.u8(code)) return malformed("3.2.2 CONNACK ends too early");
  if (flags > 1) return malformed("3.2.2.1 reserved flags");
  out.session_present = flags == 1;
  if (version == Version::k311) {
    if (!from_return_code(code, out.reason)) return malformed("3.1.1 3.2.2.3 reserved return code");
  } else {
    if (!kConnackReasons.has(code)) return malformed("3.2.2.2 reason code");
    out.reason = static_cast<ReasonCode>(code);
  }
  if (out.session_present && code != 0) return protocol_error("3.2.2.1.1 session present in a refusal");
  if (Fault fault = take_properties(cursor, version, PropertyPlace::kConnack, out.properties)) return fault;
  if (!cursor.empty()) return malformed("3.2.3 CONNACK has no payload");
  return {};
}

Fault decode(const Frame& frame, Version version, Publish& out) {
  Cursor cursor(frame.body);
  const std::uint8_t qos = (frame.flags >> 1) & 0x03;
  if (qos == 3) return malformed("3.3.1.2 QoS 3");
  out.qos = static_cast<Qos>(qos);
  out.dup = (frame.flags & 0x08) != 0;
  out.retain = (frame.flags & 0x01) != 0;
  if (out.dup && qos == 0) return malformed("3.3.1.1 DUP at QoS 0");
  if (!cursor.binary(out.topic)) return malformed("3.3.2.1 topic name is missing");
  out.packet_id = 0;
  if (qos != 0) {
    if (Fault fault = take_packet_id(cursor, out.packet_id)) return fault;
  }
  if (Fault fault = take_properties(cursor, version, PropertyPlace::kPublish, out.properties)) return fault;
  if (!out.topic.empty()) {
    if (Fault fault = check_topic(out.topic)) return fault;
  } else if (version == Version::k311) {
    return malformed("3.1.1 4.7.3 empty topic name");
  } else if (!out.properties.has(PropertyId::kTopicAlias)) {
    return protocol_error("3.3.2.1 neither topic name nor topic alias");
  }
  out.payload = cursor.rest();
  return {};
}

Fault decode(const Frame& frame, Version version, Ack& out) {
  Cursor cursor(frame.body);
  out.type = frame.type;
  out.reason = ReasonCode::kSuccess;
  out.properties = {};
  if (Fault fault = take_packet_id(cursor, out.packet_id)) return fault;
  if (cursor.empty()) return {};
  if (version == Version::k311) return malformed("3.1.1 3.4.3 bytes after the packet identifier");
  std::uint8_t code = 0;
  if (!cursor.u8(code) || !ack_reasons(frame.type).has(code)) return malformed("3.4.2.1 reason code");
  out.reason = static_cast<ReasonCode>(code);
  // Section 3.4.2.2.1: a remaining length below 4 has no property length.
  if (cursor.empty()) return {};
  if (Fault fault = PropertyDecoder::take(cursor, place_of(frame.type), out.properties)) return fault;
  if (!cursor.empty()) return malformed("3.4.3 this packet has no payload");
  return {};
}

Fault decode(const Frame& frame, Version version, Subscribe& out) {
  Cursor cursor(frame.body);
  if (Fault fault = take_packet_id(cursor, out.packet_id)) return fault;
  if (Fault fault = take_properties(cursor, version, PropertyPlace::kSubscribe, out.properties)) return fault;
  out.entries = cursor.rest();
  if (cursor.empty()) return protocol_error("3.8.3 no topic filter");
  const std::uint8_t reserved = version == Version::k311 ? 0xFC : 0xC0;
  while (!cursor.empty()) {
    std::string_view filter;
    std::uint8_t options = 0;
    if (!cursor.binary(filter) || !cursor.u8(options)) return malformed("3.8.3 payload ends too early");
    if (filter.empty() || !valid_utf8(filter)) return malformed("3.8.3 topic filter is empty or no UTF-8 string");
    if ((options & reserved) != 0 || (options & 0x03) == 3) return malformed("3.8.3.1 subscription options");
    if ((options & 0x30) == 0x30) return protocol_error("3.8.3.1 retain handling 3");
    if ((options & 0x04) != 0 && is_shared_filter(filter)) {
      return protocol_error("3.8.3.1 no local on a shared subscription");
    }
  }
  return {};
}

bool SubscriptionReader::next(Subscription& out) {
  Cursor cursor(rest_);
  std::uint8_t options = 0;
  if (!cursor.binary(out.filter) || !cursor.u8(options)) return false;
  out.maximum_qos = static_cast<Qos>(options & 0x03);
  out.no_local = (options & 0x04) != 0;
  out.retain_as_published = (options & 0x08) != 0;
  out.retain_handling = static_cast<RetainHandling>((options >> 4) & 0x03);
  rest_ = cursor.rest();
  return true;
}

Fault decode(const Frame& frame, Version version, Unsubscribe& out) {
  Cursor cursor(frame.body);
  if (Fault fault = take_packet_id(cursor, out.packet_id)) return fault;
  if (Fault fault = take_properties(cursor, version, PropertyPlace::kUnsubscribe, out.properties)) return fault;
  out.entries = cursor.rest();
  if (cursor.empty()) return protocol_error("3.10.3 no topic filter");
  while (!cursor.empty()) {
    std::string_view filter;
    if (!cursor.binary(filter)) return malformed("3.10.3 payload ends too early");
    if (filter.empty() || !valid_utf8(filter)) return malformed("3.10.3 topic filter is empty or no UTF-8 string");
  }
  return {};
}

bool FilterReader::next(std::string_view& filter) {
  Cursor cursor(rest_);
  if (!cursor.binary(filter)) return false;
  rest_ = cursor.rest();
  return true;
}

Fault decode(const Frame& frame, Version version, Suback& out) {
  Cursor cursor(frame.body);
  out.type = frame.type;
  if (Fault fault = take_packet_id(cursor, out.packet_id)) return fault;
  if (Fault fault = take_properties(cursor, version, place_of(frame.type), out.properties)) return fault;
  out.codes = cursor.rest();
  if (version == Version::k311 && frame.type == PacketType::kUnsuback) {
    return out.codes.empty() ? Fault{} : malformed("3.1.1 3.11.3 UNSUBACK has no payload");
  }
  if (out.codes.empty()) return malformed("3.9.3 no reason code");
  const ReasonSet& allowed = version == Version::k311              ? kSubackReasons311
                             : frame.type == PacketType::kUnsuback ? kUnsubackReasons
                                                                   : kSubackReasons;
  for (const char code : out.codes) {
    if (!allowed.has(static_cast<std::uint8_t>(code))) return malformed("3.9.3 reason code");
  }
  return {};
}

Fault decode(const Frame& frame, Version version, Disconnect& out) {
  out = {};
  Cursor cursor(frame.body);
  if (cursor.empty()) return {};
  if (version == Version::k311) return malformed("3.1.1 3.14.2 DISCONNECT has no content");
  std::uint8_t code = 0;
  if (!cursor.u8(code) || !kDisconnectReasons.has(code)) return malformed("3.14.2.1 reason code");
  out.reason = static_cast<ReasonCode>(code);
  // Section 3.14.2.2.1: a remaining length below 2 has no property length.
  if (cursor.empty()) return {};
  if (Fault fault = PropertyDecoder::take(cursor, PropertyPlace::kDisconnect, out.properties)) return fault;
  if (!cursor.empty()) return malformed("3.14.3 DISCONNECT has no payload");
  return {};
}

Fault decode(const Frame& frame, Auth& out) {
  out = {};
  Cursor cursor(frame.body);
  if (cursor.empty()) return {};
  std::uint8_t code = 0;
  if (!cursor.u8(code) || !kAuthReasons.has(code)) return malformed("3.15.2.1 reason code");
  out.reason = static_cast<ReasonCode>(code);
  if (Fault fault = PropertyDecoder::take(cursor, PropertyPlace::kAuth, out.properties)) return fault;
  if (!out.properties.has(PropertyId::kAuthenticationMethod)) {
    return protocol_error("3.15.2.2.2 authentication method is missing");
  }
  if (!cursor.empty()) return malformed("3.15.3 AUTH has no payload");
  return {};
}

Fault decode_empty(const Frame& frame) {
  if (!frame.body.empty()) return malformed("3.12 this packet has no content");
  return {};
}

}  // namespace millrace::mqtt
