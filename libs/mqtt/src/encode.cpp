#include <algorithm>

#include <millrace/mqtt/codec.hpp>

#include "wire.hpp"

namespace millrace::mqtt {
namespace {

constexpr std::uint8_t first_byte(PacketType type, std::uint8_t flags = 0) {
  return static_cast<std::uint8_t>((static_cast<unsigned>(type) << 4) | flags);
}

/// Appends a packet whose length is known only when its body is there: the body is written first and moved by the
/// few bytes of the length. For packets that are rare; PUBLISH and its acknowledgements count first.
template <typename Body>
void append_packet(std::uint8_t first, std::string& out, Body&& body) {
  const std::size_t start = out.size();
  try {
    put_u8(first, out);
    body();
    std::string length;
    put_variable(out.size() - start - 1, length);
    out.insert(start + 1, length);
  } catch (...) {
    out.resize(start);
    throw;
  }
}

void put_properties(Version version, const Properties& properties, std::string& out) {
  if (version == Version::k311) return;
  put_variable(properties.bytes().size(), out);
  out.append(properties.bytes());
}

std::size_t properties_size(Version version, const Properties& properties) {
  if (version == Version::k311) return 0;
  return variable_size(properties.bytes().size()) + properties.bytes().size();
}

/// 3.1.1 section 3.2.2.3: six return codes, of which "server unavailable" says the least.
std::uint8_t to_return_code(ReasonCode reason) {
  switch (static_cast<std::uint8_t>(reason)) {
    case 0x00:
      return 0;
    case 0x84:
      return 1;
    case 0x85:
      return 2;
    case 0x86:
      return 4;
    case 0x87:
    case 0x8A:
    case 0x8C:
      return 5;
    default:
      return 3;
  }
}

}  // namespace

void encode(const Connect& packet, std::string& out) {
  append_packet(first_byte(PacketType::kConnect), out, [&] {
    put_binary("MQTT", out);
    put_u8(static_cast<std::uint8_t>(packet.version), out);
    unsigned flags = packet.clean_start ? 0x02 : 0;
    if (packet.will)
      flags |= 0x04U | (static_cast<unsigned>(packet.will->qos) << 3) | (packet.will->retain ? 0x20U : 0);
    if (packet.password) flags |= 0x40;
    if (packet.user_name) flags |= 0x80;
    put_u8(static_cast<std::uint8_t>(flags), out);
    put_u16(packet.keep_alive_s, out);
    put_properties(packet.version, packet.properties, out);
    put_binary(packet.client_id, out);
    if (packet.will) {
      put_properties(packet.version, packet.will->properties, out);
      put_binary(packet.will->topic, out);
      put_binary(packet.will->payload, out);
    }
    if (packet.user_name) put_binary(*packet.user_name, out);
    if (packet.password) put_binary(*packet.password, out);
  });
}

void encode(Version version, const Connack& packet, std::string& out) {
  append_packet(first_byte(PacketType::kConnack), out, [&] {
    put_u8(packet.session_present ? 1 : 0, out);
    put_u8(version == Version::k311 ? to_return_code(packet.reason) : static_cast<std::uint8_t>(packet.reason), out);
    put_properties(version, packet.properties, out);
  });
}

void encode(Version version, const Publish& packet, std::string& out) {
  const std::size_t id_size = packet.qos == Qos::kAtMostOnce ? 0 : 2;
  const std::size_t size =
      2 + packet.topic.size() + id_size + properties_size(version, packet.properties) + packet.payload.size();
  if (packet.topic.size() > 0xFFFF || size > kMaxRemainingLength) throw std::length_error("MQTT: PUBLISH too large");
  const unsigned flags =
      (packet.dup ? 0x08U : 0) | (static_cast<unsigned>(packet.qos) << 1) | (packet.retain ? 0x01U : 0);
  if (out.capacity() - out.size() < size + 5) out.reserve(std::max(out.size() + size + 5, 2 * out.capacity()));
  put_u8(first_byte(PacketType::kPublish, static_cast<std::uint8_t>(flags)), out);
  put_variable(size, out);
  put_binary(packet.topic, out);
  if (id_size != 0) put_u16(packet.packet_id, out);
  put_properties(version, packet.properties, out);
  out.append(packet.payload);
}

void encode(Version version, const Ack& packet, std::string& out) {
  const std::uint8_t first = first_byte(packet.type, packet.type == PacketType::kPubrel ? 0x02 : 0);
  const bool has_properties = version == Version::k5 && !packet.properties.empty();
  const bool has_reason = has_properties || (version == Version::k5 && packet.reason != ReasonCode::kSuccess);
  const std::size_t size =
      2 + (has_reason ? std::size_t{1} : 0) + (has_properties ? properties_size(version, packet.properties) : 0);
  if (size > kMaxRemainingLength) throw std::length_error("MQTT: acknowledgement too large");
  put_u8(first, out);
  put_variable(size, out);
  put_u16(packet.packet_id, out);
  if (has_reason) put_u8(static_cast<std::uint8_t>(packet.reason), out);
  if (has_properties) put_properties(version, packet.properties, out);
}

void encode(Version version, const Subscribe& packet, std::string& out) {
  append_packet(first_byte(PacketType::kSubscribe, 0x02), out, [&] {
    put_u16(packet.packet_id, out);
    put_properties(version, packet.properties, out);
    out.append(packet.entries);
  });
}

void encode(Version version, const Unsubscribe& packet, std::string& out) {
  append_packet(first_byte(PacketType::kUnsubscribe, 0x02), out, [&] {
    put_u16(packet.packet_id, out);
    put_properties(version, packet.properties, out);
    out.append(packet.entries);
  });
}

void encode(Version version, const Suback& packet, std::string& out) {
  append_packet(first_byte(packet.type), out, [&] {
    put_u16(packet.packet_id, out);
    put_properties(version, packet.properties, out);
    if (version == Version::k5) {
      out.append(packet.codes);
    } else if (packet.type == PacketType::kSuback) {
      // 3.1.1 section 3.9.3 knows one failure only.
      for (const char code : packet.codes) {
        put_u8(static_cast<std::uint8_t>(code) >= 0x80 ? 0x80 : static_cast<std::uint8_t>(code), out);
      }
    }
  });
}

void encode(Version version, const Disconnect& packet, std::string& out) {
  append_packet(first_byte(PacketType::kDisconnect), out, [&] {
    if (version == Version::k311) return;
    if (packet.reason == ReasonCode::kSuccess && packet.properties.empty()) return;
    put_u8(static_cast<std::uint8_t>(packet.reason), out);
    if (!packet.properties.empty()) put_properties(version, packet.properties, out);
  });
}

void encode(const Auth& packet, std::string& out) {
  append_packet(first_byte(PacketType::kAuth), out, [&] {
    if (packet.reason == ReasonCode::kSuccess && packet.properties.empty()) return;
    put_u8(static_cast<std::uint8_t>(packet.reason), out);
    put_properties(Version::k5, packet.properties, out);
  });
}

void encode_pingreq(std::string& out) { out.append("\xC0\x00", 2); }

void encode_pingresp(std::string& out) { out.append("\xD0\x00", 2); }

void append_subscription(Version version, const Subscription& subscription, std::string& entries) {
  put_binary(subscription.filter, entries);
  unsigned options = static_cast<unsigned>(subscription.maximum_qos);
  if (version == Version::k5) {
    options |= (subscription.no_local ? 0x04U : 0) | (subscription.retain_as_published ? 0x08U : 0) |
               (static_cast<unsigned>(subscription.retain_handling) << 4);
  }
  put_u8(static_cast<std::uint8_t>(options), entries);
}

void append_filter(std::string_view filter, std::string& entries) { put_binary(filter, entries); }

}  // namespace millrace::mqtt
