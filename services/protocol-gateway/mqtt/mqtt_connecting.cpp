// CONNECT: who it is, what it may ask for, and its session.
#include <algorithm>

#include <boost/asio/post.hpp>

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

/// Which limit it is, its number, and what to do.
std::string no_room(const mqtt::Broker::Connected& refused) {
  std::string text(refused.why);
  if (refused.most == 0) return text;
  return text.append(": ")
      .append(std::to_string(refused.most))
      .append("; use a client id that has one, or end one: clean start with its client id and no session expiry");
}

}  // namespace

TopicPolicy MqttConnection::policy() {
  if (access_ == MqttAccess::kOpen) return TopicPolicy::open();
  const auto& [tenant, device, key, enabled] = identity_->device;
  if (const auto generation = context_.registry.grants_generation(); generation != rights_generation_) {
    rights_generation_ = generation;
    rights_ = TopicRights::of(context_.registry, tenant, device);
  }
  return TopicPolicy::of_device(device, &rights_);
}

// A child's topics are for who speaks for it, as long as it is not disabled. It is entered before the registry is
// asked: what is disabled later comes by check_again().
bool MqttConnection::may_hear(std::string_view filter) {
  if (!policy().may_subscribe(filter)) return false;
  const std::string_view child = policy().child_of(filter);
  if (child.empty()) return true;
  context_.connections.hears_others(identity_->device.tenant, shared_from_this());
  const auto known = context_.registry.find(identity_->device.tenant, child);
  return !known || known->enabled;
}

/// The first subscription that is not allowed; empty: all are.
std::string_view MqttConnection::first_forbidden(const mqtt::StoredSession& session) {
  const auto forbidden = std::ranges::find_if(
      session.subscriptions, [this](const auto& subscription) { return !may_hear(subscription.filter); });
  return forbidden == session.subscriptions.end() ? std::string_view() : forbidden->filter;
}

bool MqttConnection::wants_receipts() {
  if (asks_for_receipts_) return true;
  static_cast<void>(policy());
  return rights_.receipts();
}

void MqttConnection::on_connect(const mqtt::ConnectRequested& requested) {
  if (access_ == MqttAccess::kDevices) return ask(requested);
  space_ = &context_.spaces.open();
  go_on_connecting(requested);
}

void MqttConnection::ask(const mqtt::ConnectRequested& requested) {
  auto shown = shown_by(requested.connect);
  if (!shown.ok()) return refuse_connect(ReasonCode::kBadUserNameOrPassword, shown.error().message);
  if (const auto admitted = context_.authenticator.admit(*shown)) {
    if (let_in(*admitted)) go_on_connecting(requested);
    return;
  }
  asking_ = std::make_unique<Asking>(Asking{requested, Clock::now() + context_.options.connect_deadline});
  hasten_timer();
  context_.authenticator.admit_later(
      std::move(*shown), [weak = weak_from_this()](const Authenticator::Admitted& admitted) {
        const auto self = weak.lock();
        if (!self) return;
        boost::asio::post(self->stream_.get_executor(), [self, admitted] { self->on_admitted(admitted); });
      });
}

void MqttConnection::on_admitted(const Authenticator::Admitted& admitted) {
  if (!asking_ || closing_ || ended_) return;
  const auto asked = std::move(asking_);
  if (let_in(admitted)) go_on_connecting(asked->requested);
  keep_rest({input_.data() + filled_ - asked->rest, asked->rest});
  process();
}

void MqttConnection::go_on_connecting(const mqtt::ConnectRequested& requested) {
  const mqtt::Connect& connect = requested.connect;
  if (!check_will(connect)) return;
  if (connect.client_id.size() > kMaxClientIdBytes) {
    return refuse_connect(ReasonCode::kClientIdentifierNotValid, "the client id is longer than 256 bytes");
  }
  pending_ = std::make_unique<Pending>();
  pending_->client_id = connect.client_id.empty() ? "auto-" + random_token(kAssignedIdBytes) : connect.client_id;
  if (identity_ && !enter_limits(pending_->client_id)) return;
  asks_for_receipts_ = connect.properties.user("receipts") == "true";
  pending_->spec = connect_spec(requested, pending_->client_id);
  pending_->due = Clock::now() + context_.options.connect_deadline;
  if (access_ == MqttAccess::kOpen) {
    context_.connections.enter("", shared_from_this());
    return establish();
  }
  request_epoch();
}

// CONNACK waits until the log says that the device is connected: whoever reads it knows, and the place in the log is
// the connection's epoch.
void MqttConnection::request_epoch() {
  visit_ = context_.presence.visit(identity_->device.tenant, identity_->device.device, pending_->client_id);
  visit_.protocol = protocol_of(connection_.version());
  visit_.address = peer_.address.to_string();
  visit_.device_key = identity_->device.device_key;
  context_.connections.enter(identity_->key, shared_from_this());
  if (!context_.sessions.accepting()) {
    return refuse_connect(ReasonCode::kServerUnavailable, "the sessions are not known yet; connect again later");
  }
  const Status asked =
      context_.presence.announce(visit_, [self = shared_from_this()](const Result<std::uint64_t>& epoch) mutable {
        const auto executor = self->stream_.get_executor();
        boost::asio::post(executor, [connection = std::move(self), epoch] { connection->on_epoch(epoch); });
      });
  if (!asked.ok()) {
    return refuse_connect(ReasonCode::kServerUnavailable, "Kafka does not confirm connections; connect again later");
  }
  context_.sessions.read_up(visit_, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) {
      boost::asio::post(self->stream_.get_executor(), [self] { self->on_read_up(); });
    }
  });
  hasten_timer();
}

// Also when the connection is over by now: then its end is still to be said.
void MqttConnection::on_epoch(const Result<std::uint64_t>& epoch) {
  if (epoch.ok()) epoch_ = *epoch;
  if (closing_ || ended_) {
    return say_gone();
  }
  if (!epoch.ok()) {
    refuse_connect(ReasonCode::kServerUnavailable, "Kafka did not confirm the connection; connect again later");
    return process();
  }
  establish_if_ready();
}

void MqttConnection::on_read_up() {
  if (closing_ || ended_ || !pending_) return;
  pending_->read_up = true;
  establish_if_ready();
}

void MqttConnection::establish_if_ready() {
  if (!epoch_ || !pending_->read_up) return;
  if (may_establish()) establish();
  process();
}

bool MqttConnection::may_establish() {
  const auto until = context_.authenticator.valid_until(*identity_);
  if (!until) {
    // A revocation that came before this connection was in the directory has missed it.
    leaving_.cause = DisconnectCause::kRevoked;
    refuse_connect(ReasonCode::kNotAuthorized, "the device's credentials are not valid any more");
    return false;
  }
  valid_until_us_ = *until;
  if (newer_.load() > *epoch_) {
    leaving_.cause = DisconnectCause::kTakeover;
    refuse_connect(ReasonCode::kServerBusy, "another connection has this client id");
    return false;
  }
  return true;
}

void MqttConnection::establish() {
  mqtt::ConnectSpec& spec = pending_->spec;
  expiry_s_ = spec.session_expiry_s;
  if (epoch_) {
    spec.epoch = *epoch_;
    spec.shared = true;
    spec.stored = context_.sessions.find(visit_);
    // What the device may not hear any more may wait in it already.
    if (spec.stored && !first_forbidden(*spec.stored).empty()) spec.clean_start = true;
  }
  auto connected = space_->broker().connect(std::move(spec), Clock::now());
  if (!connected.session) {
    return connected.superseded ? refuse_connect(ReasonCode::kServerBusy, "another connection has this client id")
                                : refuse_connect(ReasonCode::kQuotaExceeded, no_room(connected));
  }
  session_ = std::move(connected.session);
  own_input();
  attachment_ = connected.attachment;
  client_id_ = session_->client_id();
  client_id_.remove_prefix(client_id_.size() - pending_->client_id.size());
  receives_ = pending_->session_present = connected.session_present;
  if (!epoch_) return finish_connect();
  keep_session_then(&MqttConnection::finish_connect);
}

// The session as it is now goes into the log before the client is told anything of it: what is said to be there is
// there at every gateway, whatever becomes of this one. A session that ends with its connection leaves no trace.
void MqttConnection::keep_session_then(void (MqttConnection::*next)()) {
  auto kept = [self = shared_from_this(), next](const Status& status) {
    boost::asio::post(self->stream_.get_executor(), [self, next, ok = status.ok()] {
      if (self->closing_ || self->ended_) return;
      if (ok) {
        (self.get()->*next)();
      } else {
        self->close(ReasonCode::kServerUnavailable, "Kafka did not confirm the session; connect again later",
                    DisconnectCause::kServer);
      }
      self->process();
    });
  };
  Status asked;
  if (auto session = space_->broker().snapshot(*session_); session && session->expiry_s > 0) {
    asked = context_.sessions.write(visit_, std::move(*session), true, std::move(kept));
  } else if (context_.sessions.contains(visit_)) {
    asked = context_.sessions.remove(visit_, std::move(kept));
  } else {
    return (this->*next)();
  }
  if (!asked.ok()) close(ReasonCode::kServerUnavailable, asked.error().message, DisconnectCause::kServer);
}

void MqttConnection::finish_connect() {
  const auto pending = std::move(pending_);
  context_.metrics.mqtt_connects_accepted.add();
  const bool open = connection_.accept(Clock::now(), session_, attachment_,
                                       {.session_present = pending->session_present,
                                        .assigned_client_id = client_id_,
                                        .session_expiry_s = expiry_s_,
                                        .offers = policy().offers()});
  if (!open) return begin_closing({});
  if (epoch_ && gone_at_.load() > *epoch_) context_.presence.assert_again(visit_, *epoch_);
  hasten_timer();
}

void MqttConnection::refuse_connect(ReasonCode reason, std::string_view why,
                                    std::span<const mqtt::UserProperty> properties) {
  context_.metrics.mqtt_connects_refused.add();
  const bool later = reason == ReasonCode::kServerUnavailable || reason == ReasonCode::kQuotaExceeded ||
                     reason == ReasonCode::kConnectionRateExceeded;
  context_.metrics
      .ingested(protocol_of(connection_.version()), later ? IngestResult::kThrottled : IngestResult::kUnauthorized)
      .add();
  connection_.refuse(reason, why, properties);
  if (leaving_.cause == DisconnectCause::kLost) leaving_ = {DisconnectCause::kServer, std::string(why)};
  begin_closing({});
}

/// Without a user name a certificate has to say who it is.
Result<Shown> MqttConnection::shown_by(const mqtt::Connect& connect) {
  Shown shown;
  shown.chain = std::move(peer_.chain);
  shown.peer = peer_.address;
  shown.secret = connect.password.value_or("");
  const std::string_view user = connect.user_name.value_or("");
  if (user.empty() && !shown.chain.empty()) {
    shown.secret.clear();
    return shown;
  }
  const auto name = parse_device_name(user);
  if (!name.ok()) return name.error();
  shown.tenant = name->tenant;
  shown.device = name->device;
  return shown;
}

/// Whoever it is: identity_ and space_.
bool MqttConnection::let_in(const Authenticator::Admitted& admitted) {
  if (admitted.ok()) {
    identity_ = *admitted;
    peer_.stranger.reset();
    space_ = &context_.spaces.of_tenant(identity_->device.tenant);
    return true;
  }
  const Error& error = admitted.error();
  if (error.kind == ErrorKind::kUnavailable) {
    refuse_connect(ReasonCode::kServerUnavailable, error.message);
  } else if (error.kind == ErrorKind::kThrottled) {
    refuse_connect(ReasonCode::kQuotaExceeded, error.message);
  } else {
    const bool by_certificate = error.kind == ErrorKind::kForbidden;
    refuse_connect(by_certificate ? ReasonCode::kNotAuthorized : ReasonCode::kBadUserNameOrPassword, error.message);
  }
  return false;
}

bool MqttConnection::check_will(const mqtt::Connect& connect) {
  if (!connect.will) return true;
  if (const auto fault = mqtt::check_will(connect, policy().offers())) {
    connection_.refuse(fault.code, fault.rule);
    on_closed({mqtt::CloseCause::kProtocolError, fault.code, fault.rule});
    return false;
  }
  if (policy().publishing(connect.will->topic).use == TopicPolicy::Use::kForbidden) {
    refuse_connect(ReasonCode::kNotAuthorized, "the device may not publish to the topic of its will");
    return false;
  }
  if (read_properties(connect.will->properties).message_id.size() > kMaxMessageIdBytes) {
    refuse_connect(ReasonCode::kQuotaExceeded, "the user property message-id is longer than 128 bytes");
    return false;
  }
  return true;
}

mqtt::ConnectSpec MqttConnection::connect_spec(const mqtt::ConnectRequested& requested, std::string_view client_id) {
  const mqtt::Connect& connect = requested.connect;
  mqtt::ConnectSpec spec;
  spec.client_id = identity_ ? session_name(identity_->device.device, client_id) : std::string(client_id);
  if (identity_) spec.owner = identity_->device.device;
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
    if (identity_) {
      spec.will_sink = [&wills = context_.wills, whose = identity_](const std::string& session, mqtt::MessagePtr will) {
        wills.take(whose, session, std::move(will));
      };
    }
  }
  return spec;
}

}  // namespace millrace::gateway
