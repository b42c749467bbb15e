// CONNECT: who it is, what it may ask for, and its session.
#include <algorithm>

#include <millrace/base/digest.hpp>
#include <millrace/base/ids.hpp>

#include "http/credentials.hpp"
#include "mqtt/device_message.hpp"
#include "mqtt/mqtt_answers.hpp"
#include "mqtt/mqtt_connection.hpp"

namespace millrace::gateway {
namespace {

using mqtt::ReasonCode;

constexpr std::size_t kMaxClientIdBytes = 256;
constexpr std::size_t kAssignedIdBytes = 12;

}  // namespace

TopicPolicy MqttConnection::policy() const {
  return access_ == MqttAccess::kOpen ? TopicPolicy::open() : TopicPolicy::of_device(identity_->device.device);
}

void MqttConnection::on_connect(const mqtt::ConnectRequested& requested) {
  const mqtt::Connect& connect = requested.connect;
  if (!admit(connect) || !check_will(connect)) return;
  if (connect.client_id.size() > kMaxClientIdBytes) {
    return refuse_connect(connect, ReasonCode::kClientIdentifierNotValid, "the client id is longer than 256 bytes");
  }
  const std::string assigned = connect.client_id.empty() ? "auto-" + random_token(kAssignedIdBytes) : "";
  const std::string_view client_id = assigned.empty() ? connect.client_id : assigned;
  if (identity_ && !enter_limits(connect, client_id)) return;
  epoch_ = context_.epochs.next();
  context_.connections.enter(identity_ ? identity_->key : std::string(), shared_from_this());
  if (identity_ && !still_valid()) {
    // A revocation that came before this connection was in the directory has missed it.
    return refuse_connect(connect, ReasonCode::kNotAuthorized, "the device's credentials are not valid any more");
  }
  mqtt::ConnectSpec spec = connect_spec(requested, client_id);
  const std::uint32_t expiry = spec.session_expiry_s;
  auto connected = space_->broker().connect(std::move(spec), Clock::now());
  if (!connected.session) {
    return refuse_connect(connect, ReasonCode::kQuotaExceeded, "there is no room for another session");
  }
  session_ = std::move(connected.session);
  attachment_ = connected.attachment;
  client_id_ = session_->client_id();
  client_id_.remove_prefix(client_id_.size() - client_id.size());
  receives_ = connected.session_present;
  context_.metrics.mqtt_connects_accepted.add();
  const bool open = connection_.accept(Clock::now(), session_, attachment_,
                                       {.session_present = connected.session_present,
                                        .assigned_client_id = client_id_,
                                        .session_expiry_s = expiry,
                                        .offers = policy().offers()});
  if (!open) return begin_closing({});
  hasten_timer();
}

void MqttConnection::refuse_connect(const mqtt::Connect& connect, ReasonCode reason, std::string_view why) {
  context_.metrics.mqtt_connects_refused.add();
  const bool later = reason == ReasonCode::kServerUnavailable || reason == ReasonCode::kQuotaExceeded ||
                     reason == ReasonCode::kConnectionRateExceeded;
  context_.metrics
      .ingested(protocol_of(connect.version), later ? IngestResult::kThrottled : IngestResult::kUnauthorized)
      .add();
  connection_.refuse(reason, why);
  closing_ = true;
}

/// Whoever it is: identity_ and space_.
bool MqttConnection::admit(const mqtt::Connect& connect) {
  if (access_ == MqttAccess::kOpen) {
    space_ = &context_.spaces.open();
    return true;
  }
  const auto name = parse_device_name(connect.user_name.value_or(""));
  if (!name.ok()) {
    refuse_connect(connect, ReasonCode::kBadUserNameOrPassword, name.error().message);
    return false;
  }
  auto identity = std::make_shared<Identity>();
  identity->token = sha256(connect.password.value_or(""));
  auto device = context_.registry.authenticate(name->tenant, name->device, identity->token);
  if (!device.ok()) {
    const bool later = device.error().kind == ErrorKind::kUnavailable;
    refuse_connect(connect, later ? ReasonCode::kServerUnavailable : ReasonCode::kBadUserNameOrPassword,
                   device.error().message);
    return false;
  }
  identity->device = std::move(*device);
  identity->key = record_key(identity->device.tenant, identity->device.device);
  identity_ = std::move(identity);
  space_ = &context_.spaces.of_tenant(identity_->device.tenant);
  return true;
}

bool MqttConnection::check_will(const mqtt::Connect& connect) {
  if (!connect.will) return true;
  if (const auto fault = mqtt::check_will(connect, policy().offers())) {
    connection_.refuse(fault.code, fault.rule);
    on_closed({mqtt::CloseCause::kProtocolError, fault.code, fault.rule});
    return false;
  }
  if (policy().publishing(connect.will->topic).use == TopicPolicy::Use::kForbidden) {
    refuse_connect(connect, ReasonCode::kNotAuthorized, "the device may not publish to the topic of its will");
    return false;
  }
  if (read_properties(connect.will->properties).message_id.size() > kMaxMessageIdBytes) {
    refuse_connect(connect, ReasonCode::kQuotaExceeded, "the user property message-id is longer than 128 bytes");
    return false;
  }
  return true;
}

mqtt::ConnectSpec MqttConnection::connect_spec(const mqtt::ConnectRequested& requested, std::string_view client_id) {
  const mqtt::Connect& connect = requested.connect;
  mqtt::ConnectSpec spec;
  spec.client_id = identity_ ? session_name(identity_->device.device, client_id) : std::string(client_id);
  spec.clean_start = connect.clean_start;
  spec.session_expiry_s = std::min(requested.session_expiry_s, context_.options.max_session_expiry_s);
  spec.link.receive_maximum = requested.receive_maximum;
  spec.link.wake = [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->wake();
  };
  spec.end = [weak = weak_from_this()](ReasonCode reason, const char* why) {
    if (const auto self = weak.lock()) self->close_from_outside(reason, why);
  };
  if (connect.will) {
    spec.will = mqtt::make_message(*connect.will, Clock::now());
    spec.will_delay_s = connect.will->properties.number(mqtt::PropertyId::kWillDelayInterval).value_or(0);
    spec.will_expiry_s = connect.will->properties.number(mqtt::PropertyId::kMessageExpiryInterval);
  }
  return spec;
}

}  // namespace millrace::gateway
