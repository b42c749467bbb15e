// Messages from the client: PUBLISH, the answers to it, and the QoS 2 exchange (section 4.3.3).
#include <millrace/mqtt/codec.hpp>
#include <millrace/mqtt/server_connection.hpp>

#include "answers.hpp"
#include "in_flight.hpp"
#include "reason_tables.hpp"
#include "wire.hpp"

namespace millrace::mqtt {

/// What CONNACK and options rule out.
Fault ServerConnection::check_publish(const Publish& publish) const {
  if (publish.qos > offers_.maximum_qos) {
    return {ReasonCode::kQosNotSupported, "3.2.2.3.4 QoS above the maximum"};  // [MQTT-3.2.2-11]
  }
  if (version_ == Version::k5) {
    // 3.1.1 has no way to refuse a retained message; there the owner sees the flag.
    if (publish.retain && !offers_.retain) {
      return {ReasonCode::kRetainNotSupported, "3.2.2.3.5 RETAIN"};  // [MQTT-3.2.2-14]
    }
    if (publish.properties.has(PropertyId::kSubscriptionIdentifier)) {
      return protocol_error("3.3.4 subscription identifier from a client");  // [MQTT-3.3.4-6]
    }
  }
  if (publish.topic.size() > options_->maximum_topic_length) {
    return {ReasonCode::kTopicNameInvalid, "3.3.2.1 topic name is longer than this server takes"};
  }
  return {};
}

Fault ServerConnection::resolve_alias(Publish& publish) {
  const auto alias = publish.properties.number(PropertyId::kTopicAlias);
  if (!alias) return {};
  if (*alias > options_->topic_alias_maximum) {
    return {ReasonCode::kTopicAliasInvalid, "3.3.2.3.4 topic alias above the maximum"};  // [MQTT-3.3.2-9]
  }
  if (!aliases_) aliases_ = std::make_unique<std::string[]>(std::size_t{options_->topic_alias_maximum} + 1);
  std::string& topic = aliases_[*alias];
  if (!publish.topic.empty()) {
    topic = publish.topic;
  } else if (topic.empty()) {
    return protocol_error("3.3.2.3.4 topic alias without a topic");
  }
  publish.topic = topic;
  return {};
}

Event ServerConnection::on_publish(const Frame& frame) {
  PublishReceived event;
  Publish& publish = event.publish;
  if (Fault fault = decode(frame, version_, publish)) return fail(fault);
  if (Fault fault = check_publish(publish)) return fail(fault);
  if (Fault fault = resolve_alias(publish)) return fail(fault);
  if (publish.qos == Qos::kAtMostOnce) return event;
  if (!in_flight_) in_flight_ = std::make_unique<InFlight>();
  if (in_flight_->contains(publish.packet_id)) {
    // Section 2.2.1: an id in use belongs to the message that took it, so this is that message again; its answer
    // answers both.
    ++repeated_in_flight_;
    return {};
  }
  // Only version 5 meets this limit: 3.1.1 is not read any further (blocked()). Exchanges of earlier connections are
  // allowed on top, for a client may count their ends in its favour (section 4.9).
  if (version_ == Version::k5 && in_flight_->counted() >= std::size_t{options_->receive_maximum} + carried_over_) {
    return fail({ReasonCode::kReceiveMaximumExceeded, "3.3.4 more messages in flight than the receive maximum"});
  }
  if (publish.qos == Qos::kExactlyOnce && !take_exactly_once(publish.packet_id)) return {};
  in_flight_->push(publish.packet_id, publish.qos);
  return event;
}

/// False: a repetition, and all is done or it has to wait.
bool ServerConnection::take_exactly_once(std::uint16_t packet_id) {
  switch (session_->begin_taking(attachment_, packet_id)) {
    case Session::Taking::kNew:
      return true;
    case Session::Taking::kTaken:
      // [MQTT-4.3.3-10]: PUBREC again, in its turn, and nothing is passed on.
      in_flight_->push(packet_id, Qos::kExactlyOnce);
      answer(packet_id, Qos::kExactlyOnce, in_flight_->size() == 1 ? Turn::kNow : Turn::kLater, {});
      return false;
    case Session::Taking::kUnsettled:
      taking_waits_ = true;
      return false;
  }
  return false;
}

bool ServerConnection::acknowledge(std::uint16_t packet_id, const AckOptions& options) {
  if (!in_flight_) return false;
  const InFlight::Found found = in_flight_->find_unanswered(packet_id);
  if (found.place == InFlight::Place::kUnknown) return false;
  if (found.qos == Qos::kExactlyOnce) {
    // A 3.1.1 PUBREC cannot but say "taken", so taken it is.
    if (is_failure(options.reason) && version_ == Version::k5) {
      session_->abandon(packet_id);  // [MQTT-4.3.3-9]
    } else {
      session_->take(packet_id);
    }
  }
  if (state_ != ConnectionState::kConnected) {
    in_flight_->hold(packet_id, InFlight::After::kNothing, {});
    return false;
  }
  answer(packet_id, found.qos, found.place == InFlight::Place::kFirst ? Turn::kNow : Turn::kLater, options);
  return true;
}

void ServerConnection::answer(std::uint16_t packet_id, Qos qos, Turn turn, const AckOptions& options) {
  const bool qos2 = qos == Qos::kExactlyOnce;
  const PacketType type = qos2 ? PacketType::kPubrec : PacketType::kPuback;
  const bool refused = version_ == Version::k5 && is_failure(options.reason);
  const auto after = qos2 && !refused ? InFlight::After::kPubrel : InFlight::After::kNothing;
  if (turn == Turn::kNow) {
    append_ack(type, packet_id, options, output_);
    in_flight_->pop_first(after, output_);
    return;
  }
  std::string later;
  append_ack(type, packet_id, options, later);
  in_flight_->hold(packet_id, after, std::move(later));
}

void ServerConnection::append_ack(PacketType type, std::uint16_t packet_id, const AckOptions& options,
                                  std::string& out) const {
  Ack ack;
  ack.type = type;
  ack.packet_id = packet_id;
  ack.reason = kPubackReasons.has(options.reason) ? options.reason : ReasonCode::kImplementationSpecificError;
  const std::size_t start = out.size();
  // [MQTT-3.1.2-29]: neither string nor user properties where no problem information is wanted.
  if (version_ == Version::k5 && problem_information_ &&
      !(options.reason_string.empty() && options.user_properties.empty())) {
    ack.properties = explained(options.reason_string, options.user_properties);
    encode(version_, ack, out);
    if (fits_peer(out.size() - start)) return;
    out.resize(start);  // [MQTT-3.4.2-2], [MQTT-3.4.2-3], [MQTT-3.5.2-2], [MQTT-3.5.2-3]
    ack.properties = {};
  }
  encode(version_, ack, out);
  // [MQTT-3.1.2-25]: what is too large for the client counts as sent.
  if (!fits_peer(out.size() - start)) out.resize(start);
}

/// PUBREL and PUBCOMP.
void ServerConnection::send_ack(PacketType type, std::uint16_t packet_id, ReasonCode reason) {
  Ack ack;
  ack.type = type;
  ack.packet_id = packet_id;
  ack.reason = reason;
  const std::size_t start = output_.size();
  encode(version_, ack, output_);
  if (!fits_peer(output_.size() - start)) output_.resize(start);
}

Event ServerConnection::on_pubrel(const Ack& ack) {
  const bool known = session_->release(attachment_, ack.packet_id);
  if (in_flight_) in_flight_->released(ack.packet_id);
  // [MQTT-4.3.3-11]; unknown: section 3.7.2.1, and 3.1.1 [MQTT-3.6.4-1]
  send_ack(PacketType::kPubcomp, ack.packet_id, known ? ReasonCode::kSuccess : ReasonCode::kPacketIdentifierNotFound);
  return {};
}

}  // namespace millrace::mqtt
