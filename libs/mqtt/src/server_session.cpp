#include <millrace/mqtt/codec.hpp>
#include <millrace/mqtt/server_session.hpp>

#include "in_flight.hpp"
#include "reason_tables.hpp"
#include "wire.hpp"

namespace millrace::mqtt {
namespace {

/// Refused as a whole, each filter with its own code (3.9.3): this server hands out no subscriptions.
ReasonCode subscribe_answer(std::string_view filter) {
  return valid_topic_filter(filter) ? ReasonCode::kNotAuthorized : ReasonCode::kTopicFilterInvalid;
}

/// Property buffer that keeps its memory from one packet to the next.
PropertyWriter& scratch() {
  thread_local PropertyWriter writer;
  writer.clear();
  return writer;
}

/// Reason strings come from the owner: no longer than a property can be, cut between characters.
std::string_view shortened(std::string_view text) {
  constexpr std::size_t kMost = 1024;
  if (text.size() <= kMost) return text;
  std::size_t end = kMost;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

}  // namespace

ServerSession::ServerSession(const ServerOptions& options, TimePoint now) : options_(&options), last_heard_(now) {}
ServerSession::~ServerSession() = default;
ServerSession::ServerSession(ServerSession&&) noexcept = default;
ServerSession& ServerSession::operator=(ServerSession&&) noexcept = default;

bool ServerSession::blocked() const {
  if (state_ == SessionState::kConnecting) return true;
  if (state_ != SessionState::kConnected) return false;
  return held_ || (version_ == Version::k311 && in_flight() >= options_->receive_maximum);
}

std::size_t ServerSession::in_flight() const { return in_flight_ ? in_flight_->size() : 0; }

void ServerSession::hold() {
  held_ = true;
  unheard_ = true;
}

void ServerSession::resume(TimePoint now) {
  held_ = false;
  unheard_ = false;
  last_heard_ = now;
}

Event ServerSession::next(std::string_view& input, TimePoint now) {
  while (state_ != SessionState::kClosed) {
    if (blocked()) {
      unheard_ = true;
      return {};
    }
    if (unheard_) {
      unheard_ = false;
      last_heard_ = now;
    }
    Frame frame;
    const FrameResult result = next_frame(input, options_->maximum_packet_size, frame);
    if (result.status == FrameStatus::kIncomplete) return {};
    if (result.status != FrameStatus::kComplete) return fail(result.fault);
    last_heard_ = now;
    Event event = dispatch(frame);
    input.remove_prefix(frame.size);
    if (!std::holds_alternative<std::monostate>(event)) return event;
  }
  return {};
}

Event ServerSession::dispatch(const Frame& frame) {
  if (state_ == SessionState::kAwaitingConnect) {
    if (frame.type == PacketType::kConnect) return on_connect(frame);
    return fail(protocol_error("3.1.0 the first packet is not CONNECT"));  // [MQTT-3.1.0-1]
  }
  switch (frame.type) {
    case PacketType::kPublish:
      return on_publish(frame);
    case PacketType::kPuback:
    case PacketType::kPubrec:
    case PacketType::kPubrel:
    case PacketType::kPubcomp:
      return on_ack(frame);
    case PacketType::kSubscribe:
      return on_subscribe(frame);
    case PacketType::kUnsubscribe:
      return on_unsubscribe(frame);
    case PacketType::kPingreq:
      if (Fault fault = decode_empty(frame)) return fail(fault);
      encode_pingresp(output_);  // [MQTT-3.12.4-1]
      return {};
    case PacketType::kDisconnect:
      return on_disconnect(frame);
    case PacketType::kConnect:
      return fail(protocol_error("3.1.0 a second CONNECT"));  // [MQTT-3.1.0-2]
    case PacketType::kAuth:
      if (version_ == Version::k311) return fail(malformed("3.1.1 2.2.1 packet type 15"));
      // Section 4.12.1: only after a CONNECT with an authentication method, and such a CONNECT is refused here.
      return fail(protocol_error("4.12.1 AUTH without authentication method"));
    case PacketType::kConnack:
    case PacketType::kSuback:
    case PacketType::kUnsuback:
    case PacketType::kPingresp:
      return fail(protocol_error("2.1.2 a packet that only servers send"));
  }
  return fail(malformed("2.1.2 packet type"));
}

Event ServerSession::on_connect(const Frame& frame) {
  ConnectRequested event;
  Connect& connect = event.connect;
  Fault fault = decode(frame, connect);
  version_ = connect.version;
  const Properties& properties = connect.properties;
  if (fault) return fail(fault);
  peer_maximum_packet_size_ = properties.number(PropertyId::kMaximumPacketSize).value_or(0xFFFFFFFF);
  problem_information_ = properties.number(PropertyId::kRequestProblemInformation).value_or(1) == 1;
  expiry_asked_ = properties.number(PropertyId::kSessionExpiryInterval).value_or(0) != 0;
  if (properties.has(PropertyId::kAuthenticationMethod)) {
    // [MQTT-4.12.0-1]
    return fail({ReasonCode::kBadAuthenticationMethod, "4.12 no enhanced authentication here"});
  }
  if (connect.client_id.empty() && version_ == Version::k311 && !connect.clean_start) {
    // 3.1.1 [MQTT-3.1.3-8]
    return fail({ReasonCode::kClientIdentifierNotValid, "3.1.1 3.1.3.1 no client identifier for a lasting session"});
  }
  if (connect.will && version_ == Version::k5) {
    // CONNACK says Maximum QoS 1 and no retained messages: [MQTT-3.2.2-12], [MQTT-3.2.2-13].
    if (connect.will->qos == Qos::kExactlyOnce) return fail({ReasonCode::kQosNotSupported, "3.2.2.3.4 will QoS 2"});
    if (connect.will->retain) return fail({ReasonCode::kRetainNotSupported, "3.2.2.3.5 will retain"});
  }
  client_id_missing_ = connect.client_id.empty();
  client_keep_alive_s_ = connect.keep_alive_s;
  state_ = SessionState::kConnecting;
  unheard_ = true;
  return event;
}

void ServerSession::accept(TimePoint now, const AcceptOptions& options) {
  if (state_ != SessionState::kConnecting) return;
  last_heard_ = now;
  unheard_ = false;
  keep_alive_s_ = client_keep_alive_s_;
  Connack connack;
  PropertyWriter& writer = scratch();
  if (version_ == Version::k5) {
    const std::uint16_t most = options_->keep_alive_maximum_s;
    if (most != 0 && (keep_alive_s_ == 0 || keep_alive_s_ > most)) {
      keep_alive_s_ = most;
      writer.add(PropertyId::kServerKeepAlive, std::uint32_t{most});  // [MQTT-3.2.2-21]
    }
    if (expiry_asked_) writer.add(PropertyId::kSessionExpiryInterval, 0U);
    writer.add(PropertyId::kReceiveMaximum, std::uint32_t{options_->receive_maximum});
    writer.add(PropertyId::kMaximumQos, 1U);
    writer.add(PropertyId::kRetainAvailable, 0U);
    writer.add(PropertyId::kMaximumPacketSize, options_->maximum_packet_size);
    if (options_->topic_alias_maximum != 0) {
      writer.add(PropertyId::kTopicAliasMaximum, std::uint32_t{options_->topic_alias_maximum});
    }
    if (client_id_missing_) {
      writer.add(PropertyId::kAssignedClientIdentifier, options.assigned_client_id);  // [MQTT-3.2.2-16]
    }
    connack.properties = writer.view();
  }
  const std::size_t start = output_.size();
  encode(version_, connack, output_);
  if (!fits_peer(output_.size() - start)) {
    // [MQTT-3.1.2-24]: such a client can be told nothing.
    output_.resize(start);
    state_ = SessionState::kClosed;
    return;
  }
  state_ = SessionState::kConnected;
}

void ServerSession::refuse(ReasonCode reason, std::string_view reason_string) {
  if (state_ != SessionState::kConnecting) return;
  send_connack_failure(reason, reason_string);
  state_ = SessionState::kClosed;
}

/// What this server's CONNACK and options rule out.
Fault ServerSession::check_publish(const Publish& publish) const {
  if (publish.qos == Qos::kExactlyOnce) return {ReasonCode::kQosNotSupported, "3.2.2.3.4 QoS 2"};
  if (version_ == Version::k5) {
    // 3.1.1 has no way to refuse a retained message; there the owner sees the flag.
    if (publish.retain) return {ReasonCode::kRetainNotSupported, "3.2.2.3.5 RETAIN"};
    if (publish.properties.has(PropertyId::kSubscriptionIdentifier)) {
      return protocol_error("3.3.4 subscription identifier from a client");  // [MQTT-3.3.4-6]
    }
  }
  if (publish.topic.size() > options_->maximum_topic_length) {
    return {ReasonCode::kTopicNameInvalid, "3.3.2.1 topic name is longer than this server takes"};
  }
  return {};
}

Fault ServerSession::resolve_alias(Publish& publish) {
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

Event ServerSession::on_publish(const Frame& frame) {
  PublishReceived event;
  Publish& publish = event.publish;
  if (Fault fault = decode(frame, version_, publish)) return fail(fault);
  if (Fault fault = check_publish(publish)) return fail(fault);
  if (Fault fault = resolve_alias(publish)) return fail(fault);
  if (publish.qos == Qos::kAtMostOnce) return event;
  if (!in_flight_) in_flight_ = std::make_unique<InFlight>();
  if (in_flight_->contains(publish.packet_id)) {
    // Section 2.2.1: an id in use belongs to the message that took it, so this is that message again; its PUBACK
    // answers both.
    ++repeated_in_flight_;
    return {};
  }
  if (in_flight_->size() >= options_->receive_maximum) {
    // Only version 5 comes here: 3.1.1 is not read any further (blocked()). Section 3.3.4, [MQTT-3.3.4-7].
    return fail({ReasonCode::kReceiveMaximumExceeded, "3.3.4 more messages in flight than the receive maximum"});
  }
  in_flight_->push(publish.packet_id);
  return event;
}

bool ServerSession::puback(std::uint16_t packet_id, const PubackOptions& options) {
  if (state_ != SessionState::kConnected || !in_flight_) return false;
  switch (in_flight_->place(packet_id)) {
    case InFlight::Place::kUnknown:
      return false;
    case InFlight::Place::kFirst:
      append_puback(packet_id, options, output_);
      in_flight_->pop_first(output_);
      return true;
    case InFlight::Place::kLater: {
      std::string puback;
      append_puback(packet_id, options, puback);
      in_flight_->hold(packet_id, std::move(puback));
      return true;
    }
  }
  return false;
}

void ServerSession::append_puback(std::uint16_t packet_id, const PubackOptions& options, std::string& out) const {
  Ack ack;
  ack.packet_id = packet_id;
  ack.reason = kPubackReasons.has(options.reason) ? options.reason : ReasonCode::kImplementationSpecificError;
  const std::size_t start = out.size();
  // [MQTT-3.1.2-29]: neither string nor user properties where no problem information is wanted.
  if (version_ == Version::k5 && problem_information_ &&
      !(options.reason_string.empty() && options.user_properties.empty())) {
    PropertyWriter& writer = scratch();
    for (const UserProperty& property : options.user_properties) writer.add_user(property.name, property.value);
    if (!options.reason_string.empty()) writer.add(PropertyId::kReasonString, shortened(options.reason_string));
    ack.properties = writer.view();
    encode(version_, ack, out);
    if (fits_peer(out.size() - start)) return;
    out.resize(start);
    ack.properties = {};
  }
  encode(version_, ack, out);
  // [MQTT-3.1.2-25]: what is too large for the client counts as sent.
  if (!fits_peer(out.size() - start)) out.resize(start);
}

Event ServerSession::on_subscribe(const Frame& frame) {
  Subscribe subscribe;
  if (Fault fault = decode(frame, version_, subscribe)) return fail(fault);
  std::string codes;
  SubscriptionReader reader = subscribe.reader();
  for (Subscription subscription; reader.next(subscription);) {
    codes.push_back(static_cast<char>(subscribe_answer(subscription.filter)));
  }
  const std::size_t start = output_.size();
  encode(version_, Suback{PacketType::kSuback, subscribe.packet_id, {}, codes}, output_);  // [MQTT-3.8.4-1], -6
  if (!fits_peer(output_.size() - start)) output_.resize(start);
  return {};
}

Event ServerSession::on_unsubscribe(const Frame& frame) {
  Unsubscribe unsubscribe;
  if (Fault fault = decode(frame, version_, unsubscribe)) return fail(fault);
  std::string codes;
  FilterReader reader = unsubscribe.reader();
  for (std::string_view filter; reader.next(filter);) {
    codes.push_back(static_cast<char>(valid_topic_filter(filter) ? ReasonCode::kNoSubscriptionExisted
                                                                 : ReasonCode::kTopicFilterInvalid));
  }
  const std::size_t start = output_.size();
  encode(version_, Suback{PacketType::kUnsuback, unsubscribe.packet_id, {}, codes}, output_);  // [MQTT-3.10.4-4], -5
  if (!fits_peer(output_.size() - start)) output_.resize(start);
  return {};
}

/// This server has sent no PUBLISH and taken none of QoS 2, so every id is unknown.
Event ServerSession::on_ack(const Frame& frame) {
  Ack ack;
  if (Fault fault = decode(frame, version_, ack)) return fail(fault);
  Ack answer;
  answer.packet_id = ack.packet_id;
  answer.reason = ReasonCode::kPacketIdentifierNotFound;
  if (frame.type == PacketType::kPubrel) {
    answer.type = PacketType::kPubcomp;  // 3.6.4, table 3-7; in 3.1.1 [MQTT-3.6.4-1]
  } else if (frame.type == PacketType::kPubrec && !is_failure(ack.reason)) {
    answer.type = PacketType::kPubrel;  // 3.5.4, table 3-6
  } else {
    return {};  // PUBACK and PUBCOMP end an exchange: nothing to be said
  }
  const std::size_t start = output_.size();
  encode(version_, answer, output_);
  if (!fits_peer(output_.size() - start)) output_.resize(start);
  return {};
}

Event ServerSession::on_disconnect(const Frame& frame) {
  Disconnect disconnect;
  if (Fault fault = decode(frame, version_, disconnect)) return fail(fault);
  if (disconnect.properties.has(PropertyId::kServerReference)) {
    return fail(protocol_error("3.14.2.2.5 server reference from a client"));
  }
  if (!expiry_asked_ && disconnect.properties.number(PropertyId::kSessionExpiryInterval).value_or(0) != 0) {
    return fail(protocol_error("3.14.2.2.2 session expiry where CONNECT had none"));
  }
  state_ = SessionState::kClosed;
  return Closed{CloseCause::kClientDisconnect, disconnect.reason, "3.14.4 DISCONNECT"};
}

void ServerSession::disconnect(ReasonCode reason, std::string_view reason_string) {
  if (state_ == SessionState::kClosed) return;
  if (state_ == SessionState::kConnected) {
    send_disconnect(reason, reason_string);
  } else if (state_ == SessionState::kConnecting) {
    send_connack_failure(reason, reason_string);
  }
  state_ = SessionState::kClosed;
}

/// Section 4.13.1: an error before CONNACK is told by CONNACK, later by DISCONNECT; 3.1.1 is told by CONNACK where it
/// has a code for it, and else not at all.
Event ServerSession::fail(Fault fault, CloseCause cause) {
  const bool has_return_code =
      fault.code == ReasonCode::kUnsupportedProtocolVersion || fault.code == ReasonCode::kClientIdentifierNotValid;
  if (state_ == SessionState::kConnected) {
    send_disconnect(fault.code, fault.rule);
  } else if (version_ == Version::k5 || has_return_code) {
    send_connack_failure(fault.code, fault.rule);
  }
  state_ = SessionState::kClosed;
  return Closed{cause, fault.code, fault.rule};
}

void ServerSession::send_connack_failure(ReasonCode reason, std::string_view reason_string) {
  Connack connack;
  connack.reason = kConnackReasons.has(reason) ? reason : ReasonCode::kUnspecifiedError;
  const std::size_t start = output_.size();
  if (!reason_string.empty()) {
    connack.properties = scratch().add(PropertyId::kReasonString, shortened(reason_string)).view();
  }
  encode(version_, connack, output_);
  if (fits_peer(output_.size() - start)) return;
  output_.resize(start);  // [MQTT-3.2.2-19]
  connack.properties = {};
  encode(version_, connack, output_);
  if (!fits_peer(output_.size() - start)) output_.resize(start);
}

void ServerSession::send_disconnect(ReasonCode reason, std::string_view reason_string) {
  if (version_ == Version::k311) return;  // there only clients send DISCONNECT
  Disconnect disconnect;
  disconnect.reason = kDisconnectReasons.has(reason) ? reason : ReasonCode::kUnspecifiedError;
  const std::size_t start = output_.size();
  if (!reason_string.empty()) {
    disconnect.properties = scratch().add(PropertyId::kReasonString, shortened(reason_string)).view();
  }
  encode(version_, disconnect, output_);
  if (fits_peer(output_.size() - start)) return;
  output_.resize(start);  // [MQTT-3.14.2-3]
  disconnect.properties = {};
  encode(version_, disconnect, output_);
  if (!fits_peer(output_.size() - start)) output_.resize(start);
}

bool ServerSession::fits_peer(std::size_t packet_size) const { return packet_size <= peer_maximum_packet_size_; }

std::optional<TimePoint> ServerSession::deadline() const {
  switch (state_) {
    case SessionState::kAwaitingConnect:
      return last_heard_ + options_->connect_timeout;
    case SessionState::kConnected:
      if (keep_alive_s_ == 0 || unheard_ || blocked()) return std::nullopt;
      return last_heard_ + std::chrono::milliseconds(1500) * keep_alive_s_;  // [MQTT-3.1.2-22]
    case SessionState::kConnecting:
    case SessionState::kClosed:
      return std::nullopt;
  }
  return std::nullopt;
}

Event ServerSession::on_timer(TimePoint now) {
  const auto due = deadline();
  if (!due || now < *due) return {};
  if (state_ == SessionState::kConnected) {
    return fail({ReasonCode::kKeepAliveTimeout, "3.1.2.10 nothing for one and a half keep alives"},
                CloseCause::kKeepAliveTimeout);
  }
  state_ = SessionState::kClosed;
  return Closed{CloseCause::kConnectTimeout, ReasonCode::kUnspecifiedError, "3.1.0 no CONNECT in time"};
}

}  // namespace millrace::mqtt
