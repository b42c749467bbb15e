// Messages for the client: from the session into the output, and the client's answers.
#include <algorithm>

#include <millrace/mqtt/codec.hpp>
#include <millrace/mqtt/server_connection.hpp>

#include "answers.hpp"
#include "in_flight.hpp"
#include "outgoing_aliases.hpp"
#include "wire.hpp"

namespace millrace::mqtt {
namespace {

/// What an alias costs in a packet: where the topic is no longer, it saves nothing.
constexpr std::size_t kAliasCost = 3;

/// What is left of the message's life (section 3.3.2.3.3, [MQTT-3.3.2-6]), begun seconds counted in full: a message
/// that has not waited keeps its interval.
std::uint32_t seconds_left(TimePoint expires_at, TimePoint now) {
  if (expires_at <= now) return 0;
  return static_cast<std::uint32_t>(std::chrono::ceil<std::chrono::seconds>(expires_at - now).count());
}

}  // namespace

bool ServerConnection::pump(TimePoint now) {
  while (state_ == ConnectionState::kConnected) {
    if (output_.size() >= options_->output_bound) return true;
    const Session::Outgoing outgoing = session_->next_outgoing(attachment_, now);
    switch (outgoing.kind) {
      case Session::Outgoing::Kind::kNone:
        return false;
      case Session::Outgoing::Kind::kPubrel:
        send_ack(PacketType::kPubrel, outgoing.packet_id, ReasonCode::kSuccess);
        break;
      case Session::Outgoing::Kind::kPublish:
        send_publish(outgoing, now);
        break;
    }
  }
  return false;
}

void ServerConnection::send_publish(const Session::Outgoing& outgoing, TimePoint now) {
  const std::string& topic = outgoing.delivery.message->topic;
  const std::uint16_t most = std::min(peer_topic_aliases_, options_->outgoing_topic_aliases);  // [MQTT-3.3.2-10..12]
  if (most != 0 && topic.size() > kAliasCost) {
    if (!outgoing_aliases_) outgoing_aliases_ = std::make_unique<OutgoingAliases>();
    const std::uint16_t alias = outgoing_aliases_->find(topic);
    if (alias != 0 && append_publish(outgoing, alias, Topic::kLeftOut, now)) return;
    const auto next = static_cast<std::uint16_t>(outgoing_aliases_->size() + 1);
    if (alias == 0 && next <= most && append_publish(outgoing, next, Topic::kSent, now)) {
      outgoing_aliases_->add(topic);
      return;
    }
  }
  if (append_publish(outgoing, 0, Topic::kSent, now)) return;
  ++discarded_too_large_;
  session_->discard_outgoing(attachment_, outgoing.packet_id);
}

/// False, and nothing is appended: the packet is larger than the client takes.
bool ServerConnection::append_publish(const Session::Outgoing& outgoing, std::uint16_t alias, Topic topic,
                                      TimePoint now) {
  const Delivery& delivery = outgoing.delivery;
  const Message& message = *delivery.message;
  Publish publish;
  if (topic == Topic::kSent) publish.topic = message.topic;
  publish.payload = message.payload;
  publish.qos = delivery.qos;
  publish.dup = outgoing.dup;
  publish.retain = delivery.retain;
  publish.packet_id = outgoing.packet_id;
  if (version_ == Version::k5) {
    PropertyWriter& writer = scratch();
    if (alias != 0) writer.add(PropertyId::kTopicAlias, std::uint32_t{alias});
    if (message.expires_at) writer.add(PropertyId::kMessageExpiryInterval, seconds_left(*message.expires_at, now));
    for (const std::uint32_t id : delivery.subscription_ids) writer.add(PropertyId::kSubscriptionIdentifier, id);
    writer.add_encoded(message.properties);
    publish.properties = writer.view();
  }
  const std::size_t start = output_.size();
  encode(version_, publish, output_);
  if (fits_peer(output_.size() - start)) return true;
  output_.resize(start);
  return false;
}

/// PUBACK, PUBREC, PUBREL and PUBCOMP. What they make room for leaves with the next pump().
Event ServerConnection::on_ack(const Frame& frame) {
  Ack ack;
  if (Fault fault = decode(frame, version_, ack)) return fail(fault);
  if (frame.type == PacketType::kPubrel) return on_pubrel(ack);
  // PUBACK and PUBCOMP of an unknown id: nothing to be said.
  if (frame.type == PacketType::kPuback) static_cast<void>(session_->on_puback(attachment_, ack.packet_id));
  if (frame.type == PacketType::kPubcomp) static_cast<void>(session_->on_pubcomp(attachment_, ack.packet_id));
  if (frame.type == PacketType::kPubrec) {
    const bool known = session_->on_pubrec(attachment_, ack.packet_id, ack.reason);
    if (is_failure(ack.reason)) return {};
    // [MQTT-4.3.3-4]; unknown: section 3.6.2.1
    send_ack(PacketType::kPubrel, ack.packet_id, known ? ReasonCode::kSuccess : ReasonCode::kPacketIdentifierNotFound);
  }
  return {};
}

}  // namespace millrace::mqtt
