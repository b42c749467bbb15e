#include "load/mqtt_link.hpp"

#include <algorithm>

namespace millrace::fleet {
namespace {

constexpr std::uint16_t kKeepAliveS = 120;
constexpr std::int64_t kPingAfterNs = 30'000 * kNsPerMs;
/// A server that does not read a 3.1.1 client (its storage is away) does not answer its pings either.
constexpr std::int64_t kSilenceNs = 150'000 * kNsPerMs;
constexpr std::int64_t kConnackNs = 20'000 * kNsPerMs;
constexpr std::uint32_t kLargestPacket = 1 << 20;
constexpr std::uint32_t kSessionS = 600;

}  // namespace

MqttLink::MqttLink(LinkContext& context, std::size_t index, const Device& device, const sockaddr_in& server,
                   const std::string& tenant)
    : TcpLink(context, index, device, server, context.mqtt_wire),
      version_(device.protocol == Protocol::kMqtt5 ? mqtt::Version::k5 : mqtt::Version::k311),
      user_name_(device.id + "@" + tenant),
      topic_("devices/" + device.id + "/telemetry") {}

void MqttLink::on_open() {
  mqtt::Connect connect;
  connect.version = version_;
  connect.keep_alive_s = kKeepAliveS;
  connect.client_id = device_.id;
  connect.user_name = user_name_;
  connect.password = device_.token;
  properties_.clear();
  if (exactly_once()) {
    // What is exactly once lives in a session, over connections and gateways.
    connect.clean_start = false;
    if (version_ == mqtt::Version::k5) properties_.add(mqtt::PropertyId::kSessionExpiryInterval, kSessionS);
  }
  connect.properties = properties_.view();
  encode(connect, out_);
  window_ = context_.window;
}

bool MqttLink::on_bytes(std::string_view& input) {
  for (;;) {
    mqtt::Frame frame;
    switch (next_frame(input, kLargestPacket, frame).status) {
      case mqtt::FrameStatus::kIncomplete:
        return true;
      case mqtt::FrameStatus::kMalformed:
      case mqtt::FrameStatus::kTooLarge:
        return false;
      case mqtt::FrameStatus::kComplete:
        break;
    }
    if (!on_packet(frame)) return false;
    input.remove_prefix(frame.size);
  }
}

bool MqttLink::on_packet(const mqtt::Frame& frame) {
  if (state_ == State::kOpen) return frame.type == mqtt::PacketType::kConnack && on_connack(frame);
  if (frame.type == mqtt::PacketType::kPuback) return on_puback(frame);
  if (frame.type == mqtt::PacketType::kPubrec) return on_pubrec(frame);
  if (frame.type == mqtt::PacketType::kPubcomp) return on_pubcomp(frame);
  return frame.type == mqtt::PacketType::kPingresp && on_pingresp();
}

bool MqttLink::on_pingresp() {
  unconfirmed_ -= covered_;
  covered_ = 0;
  ping_out_ = false;
  return true;
}

bool MqttLink::on_connack(const mqtt::Frame& frame) {
  mqtt::Connack connack;
  if (decode(frame, version_, connack)) return false;
  if (connack.reason != mqtt::ReasonCode::kSuccess) {
    ++context_.outcome->turned_away;
    return false;
  }
  const auto maximum = connack.properties.number(mqtt::PropertyId::kReceiveMaximum).value_or(65535);
  window_ = std::min<std::size_t>(context_.window, maximum);
  set_up();
  return true;
}

bool MqttLink::on_puback(const mqtt::Frame& frame) {
  mqtt::Ack ack;
  if (decode(frame, version_, ack)) return false;
  // In order, so that it is the first one; a search for a server that is not.
  const auto entry = std::ranges::find(in_flight_, ack.packet_id, &InFlight::packet_id);
  if (entry == in_flight_.end()) return true;
  report(*entry, ack);
  finish(entry);
  return true;
}

void MqttLink::report(const InFlight& entry, const mqtt::Ack& ack) {
  if (is_failure(ack.reason)) return context_.outcome->refused(index_, entry.message);
  const auto text = ack.properties.user("receipt");
  const auto receipt = text ? parse_receipt(*text) : std::nullopt;
  context_.outcome->acknowledged(index_, entry.message, receipt.value_or(Receipt{}), context_.now_ns);
}

void MqttLink::finish(std::deque<InFlight>::iterator entry) {
  if (static_cast<std::size_t>(entry - in_flight_.begin()) < to_send_) --to_send_;
  in_flight_.erase(entry);
}

bool MqttLink::on_pubrec(const mqtt::Frame& frame) {
  mqtt::Ack ack;
  if (decode(frame, version_, ack)) return false;
  const auto entry = std::ranges::find(in_flight_, ack.packet_id, &InFlight::packet_id);
  if (entry != in_flight_.end() && !entry->taken) {
    report(*entry, ack);
    if (is_failure(ack.reason)) {
      finish(entry);
      return true;
    }
    entry->taken = true;
  }
  release(ack.packet_id);
  return true;
}

bool MqttLink::on_pubcomp(const mqtt::Frame& frame) {
  mqtt::Ack ack;
  if (decode(frame, version_, ack)) return false;
  const auto entry = std::ranges::find(in_flight_, ack.packet_id, &InFlight::packet_id);
  if (entry != in_flight_.end() && entry->taken) finish(entry);
  return true;
}

void MqttLink::release(std::uint16_t packet_id) {
  mqtt::Ack pubrel;
  pubrel.type = mqtt::PacketType::kPubrel;
  pubrel.packet_id = packet_id;
  encode(version_, pubrel, out_);
}

void MqttLink::on_lost() {
  to_send_ = unconfirmed_ = covered_ = 0;
  ping_out_ = false;
}

std::uint16_t MqttLink::next_packet_id() {
  // Goes on over connections: an id comes again only after 65,534 others, so that DUP always means the same message.
  last_packet_id_ = last_packet_id_ == 65535 ? 1 : static_cast<std::uint16_t>(last_packet_id_ + 1);
  return last_packet_id_;
}

void MqttLink::send(InFlight& entry) {
  if (entry.taken) return release(entry.packet_id);  // PUBREC has come over an earlier connection
  payload_.clear();
  context_.readings->write(index_, entry.message, payload_);
  mqtt::Publish publish;
  publish.topic = topic_;
  publish.payload = payload_;
  publish.qos = static_cast<mqtt::Qos>(context_.qos);
  publish.packet_id = entry.packet_id;
  publish.dup = entry.sent && context_.qos != 0;
  encode(version_, publish, out_);
  if (entry.sent) {
    context_.outcome->resent();
  } else {
    context_.outcome->sent(index_, entry.message);
  }
  entry.sent = true;
}

void MqttLink::pump() {
  if (context_.qos == 0) return pump_unanswered();
  while (to_send_ < window_) {
    if (to_send_ == in_flight_.size()) {
      if (backlog_.empty()) return;
      in_flight_.push_back({take_backlog(), next_packet_id(), false, false});
    }
    send(in_flight_[to_send_++]);
  }
}

void MqttLink::pump_unanswered() {
  while (!backlog_.empty() && unconfirmed_ < window_) {
    InFlight entry{take_backlog(), 0, false, false};
    send(entry);
    if (++unconfirmed_ >= (window_ + 1) / 2 && !ping_out_) ping();
  }
  if (context_.finishing && backlog_.empty() && unconfirmed_ > 0 && !ping_out_) ping();
}

void MqttLink::ping() {
  mqtt::encode_pingreq(out_);
  pinged_ns_ = context_.now_ns;
  covered_ = unconfirmed_;
  ping_out_ = true;
}

void MqttLink::on_goodbye() {
  mqtt::Disconnect disconnect;
  properties_.clear();
  // Nothing waits any more: no gateway need keep the session.
  if (exactly_once() && version_ == mqtt::Version::k5) {
    properties_.add(mqtt::PropertyId::kSessionExpiryInterval, std::uint32_t{0});
  }
  disconnect.properties = properties_.view();
  encode(version_, disconnect, out_);
}

bool MqttLink::alive() {
  const std::int64_t silence = context_.now_ns - heard_ns_;
  if (state_ == State::kOpen) return silence < kConnackNs;
  const bool quiet = silence > kPingAfterNs || context_.now_ns - wrote_ns_ > kPingAfterNs;
  if (quiet && !ping_out_) {
    ping();
    flush();
  }
  return silence < kSilenceNs;
}

}  // namespace millrace::fleet
