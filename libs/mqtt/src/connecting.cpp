// CONNECT and its answer.
#include <stdexcept>
#include <utility>

#include <millrace/mqtt/codec.hpp>
#include <millrace/mqtt/server_connection.hpp>

#include "answers.hpp"
#include "in_flight.hpp"
#include "outgoing_aliases.hpp"
#include "reason_tables.hpp"
#include "wire.hpp"

namespace millrace::mqtt {

Fault check_will(const Connect& connect, const Offers& offers) {
  if (!connect.will || connect.version == Version::k311) return {};
  if (connect.will->qos > offers.maximum_qos) return {ReasonCode::kQosNotSupported, "3.2.2.3.4 will QoS"};
  if (connect.will->retain && !offers.retain) return {ReasonCode::kRetainNotSupported, "3.2.2.3.5 will retain"};
  return {};
}

Event ServerConnection::on_connect(const Frame& frame) {
  ConnectRequested event;
  Connect& connect = event.connect;
  const Fault broken = decode(frame, connect);
  version_ = connect.version;
  if (broken) return fail(broken);
  const Properties& properties = connect.properties;
  peer_maximum_packet_size_ = properties.number(PropertyId::kMaximumPacketSize).value_or(0xFFFFFFFF);
  peer_topic_aliases_ = static_cast<std::uint16_t>(properties.number(PropertyId::kTopicAliasMaximum).value_or(0));
  problem_information_ = properties.number(PropertyId::kRequestProblemInformation).value_or(1) == 1;
  if (version_ == Version::k5) {
    session_expiry_asked_s_ = properties.number(PropertyId::kSessionExpiryInterval).value_or(0);
  } else {
    session_expiry_asked_s_ = connect.clean_start ? 0 : kNeverExpires;
  }
  if (const Fault fault = check_connect(connect)) return fail(fault);
  client_id_missing_ = connect.client_id.empty();
  client_keep_alive_s_ = connect.keep_alive_s;
  event.session_expiry_s = session_expiry_asked_s_;
  event.receive_maximum = static_cast<std::uint16_t>(properties.number(PropertyId::kReceiveMaximum).value_or(65535));
  state_ = ConnectionState::kConnecting;
  unheard_ = true;
  return event;
}

Fault ServerConnection::check_connect(const Connect& connect) const {
  if (connect.properties.has(PropertyId::kAuthenticationMethod)) {
    // [MQTT-4.12.0-1]
    return {ReasonCode::kBadAuthenticationMethod, "4.12 no enhanced authentication here"};
  }
  if (connect.client_id.empty() && version_ == Version::k311 && !connect.clean_start) {
    // 3.1.1 [MQTT-3.1.3-8]
    return {ReasonCode::kClientIdentifierNotValid, "3.1.1 3.1.3.1 no client identifier for a lasting session"};
  }
  return {};
}

bool ServerConnection::accept(TimePoint now, std::shared_ptr<Session> session, Session::Attachment attachment,
                              const AcceptOptions& options) {
  if (!session) throw std::invalid_argument("MQTT: accept() without a session");
  if (state_ != ConnectionState::kConnecting) return false;
  session_ = std::move(session);
  attachment_ = attachment;
  offers_ = options.offers;
  last_heard_ = now;
  unheard_ = false;
  // A 3.1.1 client keeps what it asked for: there is no way to tell it.
  keep_alive_s_ = client_keep_alive_s_;
  const std::uint16_t most = options_->keep_alive_maximum_s;
  if (version_ == Version::k5 && most != 0 && (keep_alive_s_ == 0 || keep_alive_s_ > most)) keep_alive_s_ = most;
  carried_over_ = static_cast<std::uint16_t>(session_->awaiting_release());
  Connack connack;
  connack.session_present = options.session_present;
  PropertyWriter& writer = scratch();
  if (version_ == Version::k5) put_connack_properties(options, writer);
  connack.properties = writer.view();
  const std::size_t start = output_.size();
  encode(version_, connack, output_);
  if (!fits_peer(output_.size() - start)) {
    // [MQTT-3.1.2-24]: such a client can be told nothing.
    output_.resize(start);
    state_ = ConnectionState::kClosed;
    return false;
  }
  state_ = ConnectionState::kConnected;
  return true;
}

/// Section 3.2.2.3; what is absent means that nothing is restricted.
void ServerConnection::put_connack_properties(const AcceptOptions& options, PropertyWriter& writer) const {
  if (keep_alive_s_ != client_keep_alive_s_) {
    writer.add(PropertyId::kServerKeepAlive, std::uint32_t{keep_alive_s_});  // [MQTT-3.2.2-21]
  }
  if (options.session_expiry_s && *options.session_expiry_s != session_expiry_asked_s_) {
    writer.add(PropertyId::kSessionExpiryInterval, *options.session_expiry_s);
  }
  writer.add(PropertyId::kReceiveMaximum, std::uint32_t{options_->receive_maximum});
  if (offers_.maximum_qos != Qos::kExactlyOnce) {
    writer.add(PropertyId::kMaximumQos, static_cast<std::uint32_t>(offers_.maximum_qos));  // [MQTT-3.2.2-9]
  }
  if (!offers_.retain) writer.add(PropertyId::kRetainAvailable, 0U);
  writer.add(PropertyId::kMaximumPacketSize, options_->maximum_packet_size);
  if (options_->topic_alias_maximum != 0) {
    writer.add(PropertyId::kTopicAliasMaximum, std::uint32_t{options_->topic_alias_maximum});
  }
  if (!offers_.wildcard_subscriptions) writer.add(PropertyId::kWildcardSubscriptionAvailable, 0U);
  if (!offers_.subscription_ids) writer.add(PropertyId::kSubscriptionIdentifierAvailable, 0U);
  if (!offers_.shared_subscriptions) writer.add(PropertyId::kSharedSubscriptionAvailable, 0U);
  if (!client_id_missing_) return;
  const std::string_view assigned = options.assigned_client_id;
  writer.add(PropertyId::kAssignedClientIdentifier, assigned.empty() ? session_->client_id() : assigned);
}

void ServerConnection::refuse(ReasonCode reason, std::string_view reason_string,
                              std::span<const UserProperty> user_properties) {
  if (state_ != ConnectionState::kConnecting) return;
  send_connack_failure(reason, reason_string, user_properties);
  state_ = ConnectionState::kClosed;
}

void ServerConnection::send_connack_failure(ReasonCode reason, std::string_view reason_string,
                                            std::span<const UserProperty> user_properties) {
  Connack connack;
  connack.reason = is_failure(reason) && kConnackReasons.has(reason) ? reason : ReasonCode::kUnspecifiedError;
  const std::size_t start = output_.size();
  connack.properties = explained(reason_string, user_properties);
  encode(version_, connack, output_);
  if (fits_peer(output_.size() - start)) return;
  output_.resize(start);  // [MQTT-3.2.2-19]
  connack.properties = {};
  encode(version_, connack, output_);
  if (!fits_peer(output_.size() - start)) output_.resize(start);
}

}  // namespace millrace::mqtt
