// Messages and subscriptions: between the client, the ingest core and the broker.
#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include <boost/asio/post.hpp>

#include "ingest/ack_level.hpp"
#include "mqtt/device_message.hpp"
#include "mqtt/mqtt_answers.hpp"
#include "mqtt/mqtt_connection.hpp"

namespace millrace::gateway {
namespace {

using mqtt::Qos;
using mqtt::ReasonCode;
using mqtt::Version;

constexpr unsigned kPacketIdBits = 16;

std::size_t cost_of(const mqtt::Publish& publish) { return publish.payload.size() + kInFlightOverhead; }

// What settle() must know of a message, without a table: its packet id and the bytes it was counted with.
std::uint64_t token_of(const mqtt::Publish& publish) {
  return static_cast<std::uint64_t>(cost_of(publish)) << kPacketIdBits | publish.packet_id;
}

ReasonCode reason_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kTooLarge:
      return ReasonCode::kImplementationSpecificError;  // 0x95 is none of PUBACK's and PUBREC's (section 3.4.2.1)
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

/// Of the first filter that is refused, for version 5; empty: none is.
std::string_view why_refused(std::span<const ReasonCode> codes) {
  const auto first = std::ranges::find_if(codes, [](ReasonCode code) { return mqtt::is_failure(code); });
  if (first == codes.end()) return {};
  if (*first == ReasonCode::kNotAuthorized) {
    return "a topic filter is not the device's: subscribe to devices/{id}/commands/# or devices/{id}/errors with its "
           "own "
           "id or a child's, or to local topics that its policy allows";
  }
  if (*first == ReasonCode::kQuotaExceeded) return "there is no room for a subscription: unsubscribe from others";
  if (*first == ReasonCode::kTopicFilterInvalid) return "a topic filter is not valid";
  return {};
}

}  // namespace

void MqttConnection::on_subscribe(const mqtt::SubscribeRequested& requested) {
  const auto now = Clock::now();
  receives_ = true;
  std::vector<ReasonCode> codes;
  mqtt::SubscriptionReader reader = requested.subscribe.reader();
  for (mqtt::Subscription subscription; reader.next(subscription);) {
    const bool forbidden = mqtt::valid_topic_filter(subscription.filter) && !may_hear(subscription.filter);
    codes.push_back(forbidden ? ReasonCode::kNotAuthorized
                              : space_->broker().subscribe(*session_, subscription, requested.subscription_id, now));
  }
  answer_kept(mqtt::PacketType::kSuback, requested.subscribe.packet_id, std::move(codes));
}

// A subscription of a session that outlives its connection is in the log before the client is told.
void MqttConnection::answer_kept(mqtt::PacketType type, std::uint16_t packet_id, std::vector<ReasonCode> codes) {
  const auto answer = [type, packet_id, codes = std::move(codes)](MqttConnection& connection) {
    if (type == mqtt::PacketType::kSuback) {
      connection.connection_.suback(packet_id, codes, {.reason_string = why_refused(codes), .user_properties = {}});
    } else {
      connection.connection_.unsuback(packet_id, codes);
    }
  };
  if (!epoch_ || expiry_s_ == 0) return answer(*this);
  auto session = space_->broker().snapshot(*session_);
  if (!session) return answer(*this);  // it was ended; the connection hears of it
  const Status asked = context_.sessions.write(
      visit_, std::move(*session), true, [self = shared_from_this(), answer](const Status& kept) {
        boost::asio::post(self->stream_.get_executor(), [self, answer, ok = kept.ok()] {
          if (self->closing_ || self->ended_) return;
          if (ok) {
            answer(*self);
          } else {
            self->close(ReasonCode::kServerUnavailable, "Kafka did not confirm the subscriptions",
                        DisconnectCause::kServer);
          }
          self->process();
        });
      });
  if (asked.ok()) return;
  const bool limit = asked.error().kind == ErrorKind::kTooLarge;
  close(limit ? ReasonCode::kQuotaExceeded : ReasonCode::kServerUnavailable, asked.error().message,
        limit ? DisconnectCause::kLimit : DisconnectCause::kServer);
}

void MqttConnection::on_unsubscribe(const mqtt::Unsubscribe& unsubscribe) {
  std::vector<ReasonCode> codes;
  mqtt::FilterReader reader = unsubscribe.reader();
  for (std::string_view filter; reader.next(filter);) {
    codes.push_back(space_->broker().unsubscribe(*session_, filter));
  }
  answer_kept(mqtt::PacketType::kUnsuback, unsubscribe.packet_id, std::move(codes));
}

void MqttConnection::refuse_publish(const mqtt::Publish& publish, ReasonCode reason, std::string_view why,
                                    IngestResult result) {
  context_.metrics.ingested(protocol_of(connection_.version()), result).add();
  // QoS 0 has no answer in either version.
  if (publish.qos == Qos::kAtMostOnce) return;
  if (connection_.version() == Version::k5) {
    connection_.acknowledge(publish.packet_id, {.reason = reason, .reason_string = why, .user_properties = {}});
    return;
  }
  // 3.1.1 [MQTT-3.3.5-2]: a PUBLISH that is not allowed is acknowledged or ends the connection; acknowledging would be
  // a lie.
  leaving_ = {DisconnectCause::kProtocolError, std::string(why)};
  connection_.disconnect(reason, why);
  context_.metrics.mqtt_closed_protocol_error.add();
  begin_closing({});
}

void MqttConnection::on_publish(const mqtt::Publish& publish) {
  context_.metrics.mqtt_qos[static_cast<std::size_t>(publish.qos)].add();
  access_ == MqttAccess::kOpen ? publish_locally(publish) : publish_as_device(publish);
}

void MqttConnection::publish_as_device(const mqtt::Publish& publish) {
  const TopicPolicy::Publishing publishing = policy().publishing(publish.topic);
  switch (publishing.use) {
    case TopicPolicy::Use::kIngest:
      return ingest(publish, publishing);
    case TopicPolicy::Use::kLocal:
      if (const auto over = context_.workers[io_index_]->limiter().admit(identity_->device, identity_->held,
                                                                         publish.payload.size())) {
        return over_limit(publish, *over, *identity_);
      }
      return publish_locally(publish);
    case TopicPolicy::Use::kForbidden:
      return refuse_publish(publish, ReasonCode::kNotAuthorized,
                            "the topic is not the device's: publish to devices/{id}/telemetry or devices/{id}/status "
                            "with its own id or a child's, or to a local topic that its policy allows",
                            IngestResult::kUnauthorized);
  }
}

void MqttConnection::publish_locally(const mqtt::Publish& publish) {
  const auto now = Clock::now();
  const auto message = mqtt::make_message(publish, now, session_->memory());
  if (!message) {
    return refuse_publish(publish, ReasonCode::kQuotaExceeded,
                          "as many messages of this device wait or are retained as there is room for",
                          publish.qos == Qos::kAtMostOnce ? IngestResult::kDropped : IngestResult::kThrottled);
  }
  const auto published = space_->broker().publish(message, session_.get(), now);
  if (publish.qos == Qos::kAtMostOnce) return;
  mqtt::AckOptions answer;
  if (published.matched == 0) answer.reason = ReasonCode::kNoMatchingSubscribers;
  if (published.retained_full) {
    // Whoever listens has it, but it could not be kept: 3.1.1 cannot be told that.
    answer.reason = ReasonCode::kQuotaExceeded;
    answer.reason_string = "there is no room for another retained message";
  }
  connection_.acknowledge(publish.packet_id, answer);
}

void MqttConnection::ingest(const mqtt::Publish& publish, const TopicPolicy::Publishing& publishing) {
  std::shared_ptr<const Identity> whose = identity_;
  if (!publishing.child.empty()) {
    if (!children_) children_ = std::make_unique<Children>();
    whose = children_->find(context_.registry, *identity_, publishing.child);
    if (!whose) {
      return refuse_publish(publish, ReasonCode::kNotAuthorized, "the child is not in the registry, or it is disabled",
                            IngestResult::kUnauthorized);
    }
  }
  const DeviceMessage said = read_properties(publish.properties);
  if (said.message_id.size() > kMaxMessageIdBytes) {
    return refuse_publish(publish, ReasonCode::kQuotaExceeded, "the user property message-id is longer than 128 bytes",
                          IngestResult::kInvalid);
  }
  const auto ack = parse_ack_level(said.ack);
  if (!ack.ok()) {
    return refuse_publish(publish, ReasonCode::kImplementationSpecificError,
                          "the user property ack: " + ack.error().message, IngestResult::kInvalid);
  }
  const bool answered = publish.qos != Qos::kAtMostOnce;
  Message message{.identity = whose,
                  .protocol = protocol_of(connection_.version()),
                  .qos = static_cast<std::uint8_t>(publish.qos),
                  .topic = publish.topic,
                  .content_type = said.content_type,
                  .payload = publish.payload,
                  .metric_prefix = publishing.metric_prefix,
                  .metric = publishing.metric,
                  .format = publishing.format,
                  .traceparent = said.traceparent,
                  .facts = {}};
  message.facts.message_id.assign(said.message_id);
  // The client ids of gateways and of the child itself are apart.
  message.facts.client_id.assign(whose == identity_ ? client_id_ : std::string_view(session_->client_id()));
  message.facts.connection_epoch = telemetry_epoch(epoch_.value_or(0));
  message.facts.packet_id = publish.packet_id;
  message.facts.dup = publish.dup;
  message.until_stored = *ack ? **ack == AckLevel::kStored : rights_.answers_when_stored();
  unanswered_ = !answered;
  const Submitted taken =
      context_.workers[io_index_]->submit(message, answered ? Waiter{shared_from_this(), token_of(publish)} : Waiter{});
  if (taken.over_limit()) return over_limit(publish, *taken.over_limit(), *whose);
  if (!taken.ok()) {
    const IngestResult result = answered ? IngestResult::kThrottled : IngestResult::kDropped;
    return refuse_publish(publish, reason_of(taken.error().kind), taken.error().message, result);
  }
  if (answered) in_flight_bytes_ += cost_of(publish);
}

// Also when the connection is over: the session keeps what became of a QoS 2 message, for the client that sends it
// again over its next connection.
void MqttConnection::settle(std::uint64_t token, const Outcome& outcome) {
  if (outcome.kind == Outcome::Kind::kInLog) return;
  const auto packet_id = static_cast<std::uint16_t>(token);
  in_flight_bytes_ -= token >> kPacketIdBits;
  const bool is_stored = outcome.kind == Outcome::Kind::kStored;
  if (outcome.kind != Outcome::Kind::kAcknowledged && !is_stored) return answer_refused(packet_id, outcome);
  if (connection_.version() == Version::k311 || closing_ || ended_ || !wants_receipts()) {
    connection_.acknowledge(packet_id);
    return;
  }
  const std::string receipt = outcome.receipt.to_string();
  const std::array<mqtt::UserProperty, 2> properties{{{"receipt", receipt}, {"state", "stored"}}};
  connection_.acknowledge(packet_id, {.reason = ReasonCode::kSuccess,
                                      .reason_string = "",
                                      .user_properties = std::span(properties).first(is_stored ? 2 : 1)});
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
  if (outcome.kind == Outcome::Kind::kNotStored) {
    // As above: for 3.1.1 it is kept among the dead letters, and sending it again would not help.
    const std::string receipt = outcome.receipt.to_string();
    const std::array<mqtt::UserProperty, 2> properties{{{"receipt", receipt}, {"reason", "not_storable"}}};
    connection_.acknowledge(packet_id, {.reason = v5 ? ReasonCode::kImplementationSpecificError : ReasonCode::kSuccess,
                                        .reason_string = outcome.error.message,
                                        .user_properties = properties});
    return;
  }
  if (outcome.kind == Outcome::Kind::kRefused && v5) {
    connection_.acknowledge(
        packet_id,
        {.reason = reason_of(outcome.error.kind), .reason_string = outcome.error.message, .user_properties = {}});
    return;
  }
  if (closing_ || ended_) return;
  // Unknown, or refused where that cannot be said: no answer; the client sends it again over its next connection.
  close(ReasonCode::kServerBusy, "the outcome of a message is not known; send it again", DisconnectCause::kServer);
}

}  // namespace millrace::gateway
