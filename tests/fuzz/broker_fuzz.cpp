// Several clients, connections, sessions and one or two brokers, driven by a script: each step is a byte (what, by
// whom) and what belongs to it. Well-formed packets come from a small set of topics and ids, so that clients meet; raw
// bytes come too.
#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <string>

#include "broker_clients.hpp"
#include "fuzz_one.hpp"

namespace millrace::fuzz {
namespace {

using namespace millrace::mqtt;

constexpr std::array<std::string_view, 4> kIds{"a", "b", "c", ""};
constexpr std::array<std::string_view, 8> kTopics{"a", "a/b", "a/b/c", "b", "$SYS/x", "a//", "ä", "will"};
constexpr std::array<std::string_view, 16> kFilters{
    "a",     "a/b",        "a/+",          "a/#",        "#",      "+",   "+/b",  "$share/g/a/b",
    "a/b/c", "$share/g/#", "$share/h/a/#", "$share/g/+", "$SYS/#", "a//", "will", "a/#/b"};
constexpr std::array<std::chrono::seconds, 4> kTimes{std::chrono::seconds(1), std::chrono::seconds(10),
                                                     std::chrono::seconds(100), std::chrono::hours(100)};

class Script {
 public:
  explicit Script(std::string_view bytes) : rest_(bytes) {}
  [[nodiscard]] bool over() const { return rest_.empty(); }
  /// 0 when the script is over.
  std::uint8_t byte() {
    const std::string_view one = bytes(1);
    return one.empty() ? 0 : static_cast<std::uint8_t>(one[0]);
  }
  std::string_view bytes(std::size_t count) {
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(taken.size());
    return taken;
  }

 private:
  std::string_view rest_;
};

bool bit(std::uint8_t byte, unsigned number) { return (byte >> number & 1U) != 0; }
Qos qos_of(unsigned number) { return static_cast<Qos>(number % 3); }
template <typename Table>
auto pick(const Table& table, unsigned number) {
  return table[number % table.size()];
}

std::string connect_packet(Script& script) {
  const std::uint8_t how = script.byte();
  const std::uint8_t more = script.byte();
  PropertyWriter properties;
  PropertyWriter of_will;
  Connect connect;
  connect.version = bit(how, 0) ? Version::k5 : Version::k311;
  connect.clean_start = bit(how, 1);
  connect.client_id = pick(kIds, how >> 2U & 3U);
  if (connect.client_id.empty()) connect.clean_start = true;
  connect.keep_alive_s = bit(more, 0) ? 5 : 0;
  if (connect.version == Version::k5) {
    if (bit(how, 4)) properties.add(PropertyId::kSessionExpiryInterval, bit(more, 1) ? kNeverExpires : 50U);
    if (bit(how, 5)) properties.add(PropertyId::kReceiveMaximum, 1U + (more >> 6U));
    if (bit(how, 6)) properties.add(PropertyId::kMaximumPacketSize, 40U);
    if (bit(more, 2)) properties.add(PropertyId::kTopicAliasMaximum, 1U);
    if (bit(more, 3)) of_will.add(PropertyId::kWillDelayInterval, 20U);
    if (bit(more, 4)) of_will.add(PropertyId::kMessageExpiryInterval, 5U);
    connect.properties = properties.view();
  }
  if (bit(how, 7)) connect.will = Will{"will", "gone", qos_of(more >> 6U), bit(more, 5), of_will.view()};
  std::string bytes;
  encode(connect, bytes);
  return bytes;
}

std::string publish_packet(Version version, Script& script) {
  const std::uint8_t how = script.byte();
  const std::uint8_t more = script.byte();
  PropertyWriter properties;
  if (version == Version::k5 && bit(more, 7)) properties.add(PropertyId::kMessageExpiryInterval, 5U);
  if (version == Version::k5 && bit(more, 6)) properties.add(PropertyId::kTopicAlias, 1U + (more >> 5U & 1U));
  Publish publish;
  publish.topic = pick(kTopics, how);
  publish.qos = qos_of(how >> 3U & 3U);
  publish.retain = bit(how, 5);
  publish.dup = bit(how, 6) && publish.qos != Qos::kAtMostOnce;
  const std::string payload(bit(how, 7) ? 0 : 1 + (more >> 4U), 'p');
  publish.payload = payload;
  if (publish.qos != Qos::kAtMostOnce) publish.packet_id = static_cast<std::uint16_t>(1U + more % 8U);
  publish.properties = properties.view();
  std::string bytes;
  encode(version, publish, bytes);
  return bytes;
}

std::string subscribe_packet(Version version, Script& script) {
  const std::uint8_t how = script.byte();
  const std::uint8_t more = script.byte();
  PropertyWriter properties;
  if (version == Version::k5 && bit(more, 7)) properties.add(PropertyId::kSubscriptionIdentifier, 1U + more % 3U);
  Subscription one;
  one.filter = pick(kFilters, how);
  one.maximum_qos = qos_of(how >> 4U & 3U);
  one.no_local = bit(how, 6) && !one.filter.starts_with("$share/");
  one.retain_as_published = bit(how, 7);
  one.retain_handling = static_cast<RetainHandling>((more >> 4U) % 3U);
  std::string entries;
  append_subscription(version, one, entries);
  one.filter = pick(kFilters, more);
  one.no_local = false;
  if (bit(more, 6)) append_subscription(version, one, entries);
  std::string bytes;
  encode(version, Subscribe{7, properties.view(), entries}, bytes);
  return bytes;
}

std::string unsubscribe_packet(Version version, Script& script) {
  std::string entries;
  append_filter(pick(kFilters, script.byte()), entries);
  std::string bytes;
  encode(version, Unsubscribe{8, {}, entries}, bytes);
  return bytes;
}

std::string ack_packet(Version version, Script& script) {
  constexpr std::array kTypes{PacketType::kPuback, PacketType::kPubrec, PacketType::kPubrel, PacketType::kPubcomp};
  const std::uint8_t how = script.byte();
  Ack ack{pick(kTypes, how), static_cast<std::uint16_t>(1U + (how >> 2U) % 8U), {}, {}};
  const bool first_half = ack.type == PacketType::kPuback || ack.type == PacketType::kPubrec;
  if (bit(how, 7)) ack.reason = first_half ? ReasonCode::kQuotaExceeded : ReasonCode::kPacketIdentifierNotFound;
  std::string bytes;
  encode(version, ack, bytes);
  return bytes;
}

std::string disconnect_packet(Version version, Script& script) {
  const std::uint8_t how = script.byte();
  PropertyWriter properties;
  Disconnect disconnect;
  if (version == Version::k5) {
    if (bit(how, 0)) disconnect.reason = ReasonCode::kDisconnectWithWill;
    if (bit(how, 1)) properties.add(PropertyId::kSessionExpiryInterval, bit(how, 2) ? 0U : 30U);
    disconnect.properties = properties.view();
  }
  std::string bytes;
  encode(version, disconnect, bytes);
  return bytes;
}

std::shared_ptr<Message> server_message(Script& script) {
  const std::uint8_t how = script.byte();
  auto message = std::make_shared<Message>();
  message->topic = pick(kTopics, how);
  message->qos = qos_of(how >> 3U & 3U);
  message->retain = bit(how, 5);
  if (!bit(how, 6)) message->payload = std::string(bit(how, 7) ? 1000 : 1, 's');
  return message;
}

void step(Clients& clients, Script& script) {
  const std::uint8_t what = script.byte();
  const std::size_t slot = what >> 4U & 3U;
  const auto version = clients.version(slot);
  using Write = std::string (*)(Version, Script&);
  constexpr std::array<Write, 5> kPackets{publish_packet, subscribe_packet, unsubscribe_packet, ack_packet,
                                          disconnect_packet};
  const unsigned kind = what & 15U;
  if (kind < 2) {
    clients.open(slot, what >> 6U, connect_packet(script));
  } else if (kind < 2 + kPackets.size()) {
    const std::string packet = kPackets[kind - 2](version.value_or(Version::k5), script);
    clients.write(slot, packet);
  } else if (kind == 7) {
    clients.answer(slot);
  } else if (kind == 8) {
    clients.serve(slot);
  } else if (kind == 9) {
    clients.settle(slot, bit(what, 6) ? ReasonCode::kQuotaExceeded : ReasonCode::kSuccess);
  } else if (kind == 10) {
    clients.cut_off(slot);
  } else if (kind == 11) {
    clients.publish(what >> 6U, server_message(script));
  } else if (kind == 12) {
    clients.pass(pick(kTimes, what >> 4U));
  } else {
    clients.write(slot, script.bytes(script.byte() % 64U));
  }
}

}  // namespace

void fuzz_one(std::string_view bytes) {
  constexpr int kMostSteps = 300;
  if (bytes.empty()) return;
  Script script(bytes);
  Clients clients(1 + script.byte() % 2U);
  for (int steps = 0; !script.over() && steps < kMostSteps; ++steps) {
    step(clients, script);
    clients.check();
  }
  clients.finish();
}

}  // namespace millrace::fuzz
