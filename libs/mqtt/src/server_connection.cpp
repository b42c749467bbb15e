#include <millrace/mqtt/codec.hpp>
#include <millrace/mqtt/server_connection.hpp>

#include "answers.hpp"
#include "in_flight.hpp"
#include "outgoing_aliases.hpp"
#include "reason_tables.hpp"
#include "wire.hpp"

namespace millrace::mqtt {

ServerConnection::ServerConnection(const ServerOptions& options, TimePoint now)
    : options_(&options), last_heard_(now) {}

ServerConnection::~ServerConnection() {
  if (!in_flight_) return;
  in_flight_->for_each_unanswered_qos2([this](std::uint16_t packet_id) { session_->abandon(packet_id); });
}

bool ServerConnection::blocked() const {
  if (state_ == ConnectionState::kConnecting) return true;
  if (state_ != ConnectionState::kConnected) return false;
  return held_ || taking_waits_ || asked_.filters != 0 ||
         (version_ == Version::k311 && in_flight() >= options_->receive_maximum);
}

std::size_t ServerConnection::in_flight() const { return in_flight_ ? in_flight_->size() : 0; }

void ServerConnection::hold() {
  held_ = true;
  unheard_ = true;
}

void ServerConnection::resume(TimePoint now) {
  held_ = false;
  unheard_ = false;
  last_heard_ = now;
}

Event ServerConnection::next(std::string_view& input, TimePoint now) {
  taking_waits_ = false;  // found out anew
  while (state_ != ConnectionState::kClosed) {
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
    if (taking_waits_) continue;
    input.remove_prefix(frame.size);
    if (!std::holds_alternative<std::monostate>(event)) return event;
  }
  return {};
}

Event ServerConnection::dispatch(const Frame& frame) {
  if (state_ == ConnectionState::kAwaitingConnect) {
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

Event ServerConnection::on_disconnect(const Frame& frame) {
  Disconnect disconnect;
  if (Fault fault = decode(frame, version_, disconnect)) return fail(fault);
  if (disconnect.properties.has(PropertyId::kServerReference)) {
    return fail(protocol_error("3.14.2.2.5 server reference from a client"));
  }
  const auto expiry = disconnect.properties.number(PropertyId::kSessionExpiryInterval);
  if (session_expiry_asked_s_ == 0 && expiry.value_or(0) != 0) {
    return fail(protocol_error("3.14.2.2.2 session expiry where CONNECT had none"));
  }
  state_ = ConnectionState::kClosed;
  return Closed{CloseCause::kClientDisconnect, disconnect.reason, "3.14.4 DISCONNECT", expiry};
}

void ServerConnection::disconnect(ReasonCode reason, std::string_view reason_string,
                                  std::string_view server_reference) {
  if (state_ == ConnectionState::kClosed) return;
  if (state_ == ConnectionState::kConnected) {
    send_disconnect(reason, reason_string, server_reference);
  } else if (state_ == ConnectionState::kConnecting) {
    send_connack_failure(reason, reason_string);
  }
  state_ = ConnectionState::kClosed;
}

/// Section 4.13.1: an error before CONNACK is told by CONNACK, later by DISCONNECT; 3.1.1 is told by CONNACK where it
/// has a code for it, and else not at all.
Event ServerConnection::fail(Fault fault, CloseCause cause) {
  const bool has_return_code =
      fault.code == ReasonCode::kUnsupportedProtocolVersion || fault.code == ReasonCode::kClientIdentifierNotValid;
  if (state_ == ConnectionState::kConnected) {
    send_disconnect(fault.code, fault.rule);
  } else if (version_ == Version::k5 || has_return_code) {
    send_connack_failure(fault.code, fault.rule);
  }
  state_ = ConnectionState::kClosed;
  return Closed{cause, fault.code, fault.rule};
}

void ServerConnection::send_disconnect(ReasonCode reason, std::string_view reason_string,
                                       std::string_view server_reference) {
  if (version_ == Version::k311) return;  // there only clients send DISCONNECT
  Disconnect disconnect;
  // [MQTT-3.14.2-1]; "with will" is for clients to say.
  const bool known = kDisconnectReasons.has(reason) && reason != ReasonCode::kDisconnectWithWill;
  disconnect.reason = known ? reason : ReasonCode::kUnspecifiedError;
  const std::size_t start = output_.size();
  PropertyWriter& writer = scratch();
  if (!server_reference.empty()) writer.add(PropertyId::kServerReference, shortened(server_reference));
  if (!reason_string.empty()) writer.add(PropertyId::kReasonString, shortened(reason_string));
  disconnect.properties = writer.view();
  encode(version_, disconnect, output_);
  if (fits_peer(output_.size() - start)) return;
  output_.resize(start);  // [MQTT-3.14.2-3]
  disconnect.properties = {};
  encode(version_, disconnect, output_);
  if (!fits_peer(output_.size() - start)) output_.resize(start);
}

std::optional<TimePoint> ServerConnection::deadline() const {
  switch (state_) {
    case ConnectionState::kAwaitingConnect:
      return last_heard_ + options_->connect_timeout;
    case ConnectionState::kConnected:
      if (keep_alive_s_ == 0 || unheard_ || blocked()) return std::nullopt;
      return last_heard_ + std::chrono::milliseconds(1500) * keep_alive_s_;  // [MQTT-3.1.2-22]
    case ConnectionState::kConnecting:
    case ConnectionState::kClosed:
      return std::nullopt;
  }
  return std::nullopt;
}

Event ServerConnection::on_timer(TimePoint now) {
  const auto due = deadline();
  if (!due || now < *due) return {};
  if (state_ == ConnectionState::kConnected) {
    return fail({ReasonCode::kKeepAliveTimeout, "3.1.2.10 nothing for one and a half keep alives"},
                CloseCause::kKeepAliveTimeout);
  }
  state_ = ConnectionState::kClosed;
  return Closed{CloseCause::kConnectTimeout, ReasonCode::kUnspecifiedError, "3.1.0 no CONNECT in time"};
}

}  // namespace millrace::mqtt
