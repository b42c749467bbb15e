#include "mqtt/mqtt_connection.hpp"

#include <array>
#include <cstring>

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>

#include <millrace/base/ids.hpp>
#include <millrace/observability/trace.hpp>

#include "http/credentials.hpp"
#include "mqtt/topic.hpp"

namespace millrace::gateway {
namespace {

using boost::asio::ip::tcp;
using mqtt::ReasonCode;
using mqtt::Version;

constexpr std::size_t kFirstInputBytes = 2048;
constexpr std::size_t kReadBytes = 16 * 1024;
constexpr std::size_t kMaxMessageIdBytes = 128;
constexpr unsigned kPacketIdBits = 16;

// What this gateway has for its clients.
constexpr mqtt::Offers kOffers{.maximum_qos = mqtt::Qos::kAtLeastOnce,
                               .retain = false,
                               .wildcard_subscriptions = true,
                               .subscription_ids = true,
                               .shared_subscriptions = true};

// What settle() must know of a message, without a table: its packet id and the bytes it was counted with.
std::uint64_t token_of(std::uint16_t packet_id, std::size_t payload_bytes) {
  return static_cast<std::uint64_t>(payload_bytes) << kPacketIdBits | packet_id;
}

telemetry::Protocol protocol_of(Version version) {
  return version == Version::k5 ? telemetry::Protocol::kMqtt5 : telemetry::Protocol::kMqtt311;
}

ReasonCode reason_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kTooLarge:
      return ReasonCode::kPacketTooLarge;
    case ErrorKind::kThrottled:
      return ReasonCode::kQuotaExceeded;
    case ErrorKind::kInvalid:
    case ErrorKind::kUnauthenticated:
    case ErrorKind::kForbidden:
    case ErrorKind::kNotFound:
    case ErrorKind::kAlreadyExists:
    case ErrorKind::kUnavailable:
    case ErrorKind::kUnknownOutcome:
    case ErrorKind::kConflict:
    case ErrorKind::kPrecondition:
    case ErrorKind::kCorrupt:
    case ErrorKind::kInternal:
      return ReasonCode::kUnspecifiedError;
  }
  return ReasonCode::kUnspecifiedError;
}

}  // namespace

MqttConnection::MqttConnection(tcp::socket socket, std::size_t io_index, MqttContext& context)
    : socket_(std::move(socket)),
      timer_(socket_.get_executor()),
      io_index_(io_index),
      context_(context),
      connection_(context.options.session, Clock::now()) {
  context_.open_connections.fetch_add(1, std::memory_order_relaxed);
  context_.metrics.mqtt_connections.add(1);
}

MqttConnection::~MqttConnection() {
  context_.open_connections.fetch_sub(1, std::memory_order_relaxed);
  context_.metrics.mqtt_connections.add(-1);
}

void MqttConnection::start() {
  boost::system::error_code ignored;  // an option that cannot be set costs latency, nothing else
  socket_.set_option(tcp::no_delay(true), ignored);
  arm_timer();
  read();
}

void MqttConnection::read() {
  if (reading_ || ended_ || closing_) return;
  if (input_.size() - filled_ < kFirstInputBytes) input_.resize(filled_ == 0 ? kFirstInputBytes : filled_ + kReadBytes);
  reading_ = true;
  socket_.async_read_some(boost::asio::buffer(input_.data() + filled_, input_.size() - filled_),
                          [self = shared_from_this()](const boost::system::error_code& error, std::size_t count) {
                            self->reading_ = false;
                            if (error) {
                              self->end();
                              return;
                            }
                            self->filled_ += count;
                            self->process();
                          });
}

// Takes what has come, until the session wants more bytes or an answer, or messages cannot be taken.
void MqttConnection::process() {
  if (ended_) return;
  const auto now = Clock::now();
  std::string_view input(input_.data(), filled_);
  while (!closing_ && !must_wait()) {
    mqtt::Event event = connection_.next(input, now);
    if (!handle(event)) break;
  }
  if (!input.empty() && input.data() != input_.data()) std::memmove(input_.data(), input.data(), input.size());
  filled_ = input.size();
  if (const std::uint64_t repeated = connection_.repeated_in_flight(); repeated != repeated_) {
    context_.metrics.mqtt_repeated_in_flight.add(static_cast<double>(repeated - repeated_));
    repeated_ = repeated;
  }
  write();
  if (!closing_ && !held_ && !connection_.blocked()) read();
}

bool MqttConnection::handle(mqtt::Event& event) {
  if (auto* publish = std::get_if<mqtt::PublishReceived>(&event)) {
    on_publish(publish->publish);
  } else if (auto* connect = std::get_if<mqtt::ConnectRequested>(&event)) {
    on_connect(connect->connect);
  } else if (auto* subscribe = std::get_if<mqtt::SubscribeRequested>(&event)) {
    on_subscribe(subscribe->subscribe);
  } else if (auto* unsubscribe = std::get_if<mqtt::UnsubscribeRequested>(&event)) {
    on_unsubscribe(unsubscribe->unsubscribe);
  } else if (auto* closed = std::get_if<mqtt::Closed>(&event)) {
    on_closed(*closed);
  } else {
    return false;
  }
  return true;
}

// True while nothing more may be taken from this client; it is then read on by resume(), flush() or the write's end.
bool MqttConnection::must_wait() {
  if (identity_ == nullptr || connection_.state() != mqtt::ConnectionState::kConnected) return false;
  const bool platform_full = !context_.workers[io_index_]->accepting();
  const bool too_much = in_flight_bytes_ >= context_.options.max_in_flight_bytes;
  const bool not_reading = connection_.output().size() + writing_.size() >= context_.options.max_unsent_bytes;
  if (!platform_full && !too_much && !not_reading && !draining_) return false;
  if (!held_) {
    held_ = true;
    connection_.hold();
    if (platform_full) context_.held[io_index_].push_back(weak_from_this());
  }
  return true;
}

void MqttConnection::resume() {
  if (!held_ || ended_) return;
  held_ = false;
  connection_.resume(Clock::now());
  process();
}

void MqttConnection::on_connect(const mqtt::Connect& connect) {
  const auto refuse = [&](ReasonCode reason, std::string_view why) {
    context_.metrics.mqtt_connects_refused.add();
    const bool later = reason == ReasonCode::kServerUnavailable;
    context_.metrics
        .ingested(protocol_of(connect.version), later ? IngestResult::kThrottled : IngestResult::kUnauthorized)
        .add();
    connection_.refuse(reason, why);
    closing_ = true;
  };
  if (const auto fault = mqtt::check_will(connect, kOffers)) {
    connection_.refuse(fault.code, fault.rule);
    return on_closed({mqtt::CloseCause::kProtocolError, fault.code, fault.rule});
  }
  const auto name = parse_device_name(connect.user_name.value_or(""));
  if (!name.ok()) return refuse(ReasonCode::kBadUserNameOrPassword, name.error().message);
  auto identity = std::make_shared<Identity>();
  identity->token = sha256(connect.password.value_or(""));
  auto device = context_.registry.authenticate(name->tenant, name->device, identity->token);
  if (!device.ok()) {
    const bool later = device.error().kind == ErrorKind::kUnavailable;
    return refuse(later ? ReasonCode::kServerUnavailable : ReasonCode::kBadUserNameOrPassword, device.error().message);
  }
  identity->device = std::move(*device);
  identity->key = record_key(identity->device.tenant, identity->device.device);
  epoch_ = context_.epochs.next();
  client_id_ = connect.client_id.empty() ? "auto-" + std::to_string(epoch_) : std::string(connect.client_id);
  identity_ = std::move(identity);
  if (const auto before = context_.sessions.enter(*identity_, client_id_, shared_from_this())) {
    before->close_from_outside(ReasonCode::kSessionTakenOver, "the same client id connected again");
  }
  context_.metrics.mqtt_connects_accepted.add();
  auto session = std::make_shared<mqtt::Session>(client_id_, mqtt::SessionLimits{});
  const auto attachment = session->attach({});
  const bool open = connection_.accept(Clock::now(), std::move(session), attachment,
                                       {.session_present = false, .session_expiry_s = 0, .offers = kOffers});
  if (!open) closing_ = true;
}

// Refused as a whole, each filter with its own code: this gateway hands out no subscriptions.
void MqttConnection::on_subscribe(const mqtt::Subscribe& subscribe) {
  std::vector<ReasonCode> codes;
  mqtt::SubscriptionReader reader = subscribe.reader();
  for (mqtt::Subscription subscription; reader.next(subscription);) {
    const bool valid = mqtt::valid_topic_filter(subscription.filter);
    codes.push_back(valid ? ReasonCode::kNotAuthorized : ReasonCode::kTopicFilterInvalid);
  }
  connection_.suback(subscribe.packet_id, codes);
}

void MqttConnection::on_unsubscribe(const mqtt::Unsubscribe& unsubscribe) {
  std::vector<ReasonCode> codes;
  mqtt::FilterReader reader = unsubscribe.reader();
  for (std::string_view filter; reader.next(filter);) {
    const bool valid = mqtt::valid_topic_filter(filter);
    codes.push_back(valid ? ReasonCode::kNoSubscriptionExisted : ReasonCode::kTopicFilterInvalid);
  }
  connection_.unsuback(unsubscribe.packet_id, codes);
}

void MqttConnection::refuse_publish(const mqtt::Publish& publish, ReasonCode reason, std::string_view why,
                                    IngestResult result) {
  context_.metrics.ingested(protocol_of(connection_.version()), result).add();
  // QoS 0 has no answer in either version.
  if (publish.qos == mqtt::Qos::kAtMostOnce) return;
  if (connection_.version() == Version::k5) {
    connection_.acknowledge(publish.packet_id, {.reason = reason, .reason_string = why, .user_properties = {}});
    return;
  }
  // MQTT-3.3.5-2: a 3.1.1 server that does not allow a PUBLISH acknowledges it or closes; acknowledging would be a lie.
  connection_.disconnect(reason, why);
  context_.metrics.mqtt_closed_protocol_error.add();
  closing_ = true;
}

void MqttConnection::on_publish(const mqtt::Publish& publish) {
  context_.metrics.mqtt_qos[static_cast<std::size_t>(publish.qos)].add();
  const auto topic = parse_ingest_topic(publish.topic);
  if (!topic)
    return refuse_publish(publish, ReasonCode::kTopicNameInvalid,
                          "publish to devices/{id}/telemetry or devices/{id}/status", IngestResult::kInvalid);
  if (topic->device != identity_->device.device) {
    return refuse_publish(publish, ReasonCode::kNotAuthorized, "the topic names another device",
                          IngestResult::kUnauthorized);
  }
  const auto message_id = publish.properties.user("message-id").value_or("");
  if (message_id.size() > kMaxMessageIdBytes) {
    return refuse_publish(publish, ReasonCode::kQuotaExceeded, "the user property message-id is longer than 128 bytes",
                          IngestResult::kInvalid);
  }
  const auto traceparent = publish.properties.user("traceparent").value_or("");
  const bool qos1 = publish.qos == mqtt::Qos::kAtLeastOnce;
  Message message{.identity = identity_,
                  .protocol = protocol_of(connection_.version()),
                  .qos = static_cast<std::uint8_t>(publish.qos),
                  .topic = publish.topic,
                  .content_type = publish.properties.text(mqtt::PropertyId::kContentType).value_or(""),
                  .payload = publish.payload,
                  .metric_prefix = topic->metric_prefix,
                  .traceparent = observability::is_traceparent(traceparent) ? traceparent : "",
                  .facts = {}};
  message.facts.message_id.assign(message_id);
  message.facts.client_id = client_id_;
  message.facts.connection_epoch = epoch_;
  message.facts.packet_id = publish.packet_id;
  message.facts.dup = publish.dup;
  const Status taken = context_.workers[io_index_]->submit(
      message, qos1 ? Waiter{shared_from_this(), token_of(publish.packet_id, publish.payload.size())} : Waiter{});
  if (!taken.ok()) {
    const IngestResult result = qos1 ? IngestResult::kThrottled : IngestResult::kDropped;
    return refuse_publish(publish, reason_of(taken.error().kind), taken.error().message, result);
  }
  if (qos1) in_flight_bytes_ += publish.payload.size();
}

void MqttConnection::on_closed(const mqtt::Closed& closed) {
  closing_ = true;
  switch (closed.cause) {
    case mqtt::CloseCause::kClientDisconnect:
      context_.metrics.mqtt_closed_by_client.add();
      break;
    case mqtt::CloseCause::kProtocolError:
      context_.metrics.mqtt_closed_protocol_error.add();
      context_.log.limited(context_.limiter, observability::Level::kInfo, "a client broke the protocol",
                           {{"rule", closed.rule}, {"device", identity_ ? identity_->key : ""}});
      break;
    case mqtt::CloseCause::kKeepAliveTimeout:
    case mqtt::CloseCause::kConnectTimeout:
      context_.metrics.mqtt_closed_timeout.add();
      break;
  }
}

void MqttConnection::settle(std::uint64_t token, const Outcome& outcome) {
  const auto packet_id = static_cast<std::uint16_t>(token);
  in_flight_bytes_ -= token >> kPacketIdBits;
  if (ended_ || closing_) return;
  if (outcome.kind != Outcome::Kind::kAcknowledged) return answer_refused(packet_id, outcome);
  if (connection_.version() == Version::k311) {
    connection_.acknowledge(packet_id);
    return;
  }
  const std::string receipt = outcome.receipt.to_string();
  const std::array<mqtt::UserProperty, 1> properties{{{"receipt", receipt}}};
  connection_.acknowledge(packet_id,
                          {.reason = ReasonCode::kSuccess, .reason_string = "", .user_properties = properties});
}

void MqttConnection::answer_refused(std::uint16_t packet_id, const Outcome& outcome) {
  const bool v5 = connection_.version() == Version::k5;
  if (outcome.kind == Outcome::Kind::kKeptAsRefused) {
    // 3.1.1 cannot be told: there PUBACK means "kept as refused" (docs/protocols.md).
    const std::string receipt = outcome.receipt.to_string();
    const std::string reason(to_string(outcome.payload_error->fault));
    const std::array<mqtt::UserProperty, 2> properties{{{"receipt", receipt}, {"reason", reason}}};
    connection_.acknowledge(packet_id, {.reason = v5 ? ReasonCode::kPayloadFormatInvalid : ReasonCode::kSuccess,
                                        .reason_string = outcome.payload_error->message,
                                        .user_properties = properties});
    return;
  }
  if (outcome.kind == Outcome::Kind::kRefused && v5) {
    connection_.acknowledge(
        packet_id,
        {.reason = reason_of(outcome.error.kind), .reason_string = outcome.error.message, .user_properties = {}});
    return;
  }
  // Unknown, or refused where that cannot be said: no PUBACK; the client sends it again over its next connection.
  connection_.disconnect(ReasonCode::kServerBusy, "the outcome of a message is not known; send it again");
  context_.metrics.mqtt_closed_by_server.add();
  closing_ = true;
}

void MqttConnection::flush() {
  if (ended_) return;
  const bool room = in_flight_bytes_ <= context_.options.max_in_flight_bytes / 2;
  const bool waits_here = held_ && room && !draining_ && context_.workers[io_index_]->accepting();
  if (waits_here) {
    resume();
  } else if (filled_ > 0 && !held_ && !connection_.blocked()) {
    process();
  } else {
    write();
    if (!closing_ && !held_ && !connection_.blocked()) read();
  }
}

void MqttConnection::write() {
  if (write_pending_ || ended_) return;
  if (connection_.output().empty()) {
    if (closing_) end();
    return;
  }
  writing_.clear();
  writing_.swap(connection_.output());
  write_pending_ = true;
  write_began_ = Clock::now();
  boost::asio::async_write(socket_, boost::asio::buffer(writing_),
                           [self = shared_from_this()](const boost::system::error_code& error, std::size_t) {
                             self->write_pending_ = false;
                             self->writing_.clear();
                             if (error) {
                               self->end();
                               return;
                             }
                             self->flush();
                           });
}

void MqttConnection::arm_timer() {
  auto due = Clock::now() + context_.options.write_timeout;
  if (const auto deadline = connection_.deadline(); deadline && *deadline < due) due = *deadline;
  timer_.expires_at(due);
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (!error && self) self->on_timer();
  });
}

// Fires at the earliest of what may be due and asks; rearming on every packet would cost more than an idle look now and
// then.
void MqttConnection::on_timer() {
  if (ended_) return;
  const auto now = Clock::now();
  if (write_pending_ && now - write_began_ >= context_.options.write_timeout) {
    context_.metrics.mqtt_closed_timeout.add();
    end();
    return;
  }
  mqtt::Event event = connection_.on_timer(now);
  static_cast<void>(handle(event));
  write();
  if (!ended_) arm_timer();
}

void MqttConnection::close_from_outside(ReasonCode reason, std::string_view why) {
  boost::asio::post(socket_.get_executor(), [self = shared_from_this(), reason, text = std::string(why)] {
    if (self->ended_ || self->closing_) return;
    self->connection_.disconnect(reason, text);
    self->context_.metrics.mqtt_closed_by_server.add();
    self->closing_ = true;
    self->write();
  });
}

void MqttConnection::stop_reading() { draining_ = true; }

bool MqttConnection::still_valid() const {
  return identity_ && context_.registry.is_valid(identity_->device.tenant, identity_->device.device, identity_->token);
}

void MqttConnection::end() {
  if (ended_) return;
  ended_ = true;
  if (identity_) context_.sessions.leave(*identity_, client_id_, this);
  timer_.cancel();
  boost::system::error_code ignored;  // the peer may be gone already
  socket_.shutdown(tcp::socket::shutdown_both, ignored);
  socket_.close(ignored);
}

}  // namespace millrace::gateway
