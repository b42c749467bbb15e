// Limits and fairness: what a client over a limit is told or has to wait for, and its share of what is in flight.
#include <algorithm>
#include <array>
#include <span>
#include <string>

#include "mqtt/mqtt_answers.hpp"
#include "mqtt/mqtt_connection.hpp"

namespace millrace::gateway {
namespace {

using mqtt::Qos;
using mqtt::ReasonCode;
using mqtt::Version;

/// On the topic errors, of one connection.
constexpr std::chrono::seconds kTellEvery{1};
/// Limits may be raised while a message waits.
constexpr std::chrono::seconds kAskAgain{1};
/// A connection may have an eighth of what is left of the memory for records in flight: many greedy ones leave room for
/// whoever has little in flight. This much it may always have.
constexpr std::size_t kShareOfRoom = 8;
constexpr std::size_t kLeastShare = 16ULL * 1024;

/// The user properties that say which limit was met.
class LimitProperties {
 public:
  explicit LimitProperties(const OverLimit& over)
      : value_(over.value_text()),
        retry_(std::to_string(over.retry_after.count())),
        all_{{{"limit", to_string(over.limit)},
              {"scope", to_string(over.scope)},
              {"value", value_},
              {"retry-after-ms", retry_}}} {}
  LimitProperties(const LimitProperties&) = delete;  // all_ views value_ and retry_
  LimitProperties& operator=(const LimitProperties&) = delete;

  [[nodiscard]] std::span<const mqtt::UserProperty> all() const { return all_; }

 private:
  std::string value_;
  std::string retry_;
  std::array<mqtt::UserProperty, 4> all_;
};

}  // namespace

std::size_t MqttConnection::share() const {
  const std::size_t most = context_.options.max_in_flight_bytes;
  if (access_ == MqttAccess::kOpen) return most;
  return std::min(most, std::max(kLeastShare, context_.workers[io_index_]->room() / kShareOfRoom));
}

bool MqttConnection::enter_limits(std::string_view client_id) {
  Limiter& limiter = context_.workers[io_index_]->limiter();
  auto entered = limiter.connect(identity_->device, identity_->held, client_id);
  if (auto* place = std::get_if<Limiter::Connection>(&entered)) {
    place_ = std::move(*place);
    return true;
  }
  const OverLimit& over = std::get<OverLimit>(entered);
  limiter.note(over, Limiter::Action::kRefused);
  leaving_.cause = DisconnectCause::kLimit;
  refuse_connect(over.limit == LimitKind::kConnects ? ReasonCode::kConnectionRateExceeded : ReasonCode::kQuotaExceeded,
                 over.message(), LimitProperties(over).all());
  return false;
}

void MqttConnection::over_limit(const mqtt::Publish& publish, const OverLimit& over, const Identity& whose) {
  Limiter& limiter = context_.workers[io_index_]->limiter();
  const auto protocol = protocol_of(connection_.version());
  if (publish.qos == Qos::kAtMostOnce) {
    limiter.note(over, Limiter::Action::kDropped, &whose.held);
    context_.metrics.ingested(protocol, IngestResult::kDropped).add();
    return tell_errors(over, whose);
  }
  if (connection_.version() != Version::k5) {
    if (!trying_again_) limiter.note(over, Limiter::Action::kDelayed);
    tell_errors(over, whose);
    return put_off(publish, over);
  }
  limiter.note(over, Limiter::Action::kRefused);
  context_.metrics.ingested(protocol, IngestResult::kThrottled).add();
  const LimitProperties properties(over);
  connection_.acknowledge(
      publish.packet_id,
      {.reason = ReasonCode::kQuotaExceeded, .reason_string = over.message(), .user_properties = properties.all()});
}

// For who subscribes to it: what 3.1.1 and QoS 0 have no other way to hear.
void MqttConnection::tell_errors(const OverLimit& over, const Identity& whose) {
  const auto now = Clock::now();
  if (now - told_at_ < kTellEvery) return;
  told_at_ = now;
  const std::string topic = "devices/" + whose.device.device + "/errors";
  const std::string payload =
      R"({"error":"over limit",)" + over.json_members() + R"(,"detail":")" + over.message() + "\"}";
  mqtt::Publish publish;
  publish.topic = topic;
  publish.payload = payload;
  const auto message = mqtt::make_message(publish, now, session_->memory());
  if (message) static_cast<void>(space_->broker().publish(message, nullptr, now));
}

// Nothing behind the message is read meanwhile: must_wait().
void MqttConnection::put_off(const mqtt::Publish& publish, const OverLimit& over) {
  put_off_ = std::make_unique<PutOff>();
  put_off_->topic = publish.topic;
  put_off_->payload = publish.payload;
  put_off_->packet_id = publish.packet_id;
  put_off_->qos = publish.qos;
  put_off_->dup = publish.dup;
  put_off_->retain = publish.retain;
  put_off_->until = Clock::now() + std::min<Clock::duration>(over.retry_after, kAskAgain);
  if (put_off_->until < timer_.expiry()) arm_timer();
}

void MqttConnection::try_again() {
  const auto waited = std::move(put_off_);
  mqtt::Publish publish;
  publish.topic = waited->topic;
  publish.payload = waited->payload;
  publish.packet_id = waited->packet_id;
  publish.qos = waited->qos;
  publish.dup = waited->dup;
  publish.retain = waited->retain;
  if (!context_.workers[io_index_]->accepting()) {
    put_off(publish, {.retry_after = std::chrono::milliseconds{100}});
    return;
  }
  trying_again_ = true;
  publish_as_device(publish);
  trying_again_ = false;
  if (!put_off_) resume();
}

}  // namespace millrace::gateway
