// The codec and the server connection with its session under arbitrary bytes. The first byte chooses version, pace and
// what is offered, the rest is the wire.
#include <memory>
#include <variant>
#include <vector>

#include <mqtt_packets.hpp>

#include <millrace/mqtt/server_connection.hpp>

#include "fuzz_one.hpp"

namespace millrace::fuzz {
namespace {

using namespace millrace::mqtt;

constexpr std::uint32_t kMost = 1 << 16;

/// What decodes must encode, and decode again to the same bytes.
void check_codec(std::string_view input, Version version) {
  Frame frame;
  if (next_frame(input, kMost, frame).status != FrameStatus::kComplete) return;
  require(frame.size <= input.size(), "a complete frame lies within its input");
  Fault fault;
  const auto once = testing::recode(frame, version, fault);
  if (!once) {
    require(fault.rule != nullptr && is_failure(fault.code), "what does not decode has a fault");
    return;
  }
  Frame again;
  require(next_frame(*once, kMost + 16, again).status == FrameStatus::kComplete, "what was encoded is a frame");
  const auto twice = testing::recode(again, version, fault);
  require(twice && *twice == *once, "decoding what was encoded gives the same packet");
}

ServerOptions limits() {
  ServerOptions options;
  options.maximum_packet_size = kMost;
  options.receive_maximum = 3;
  options.output_bound = 200;
  return options;
}

AcceptOptions accepted(std::uint8_t choice) {
  AcceptOptions options;
  options.session_present = (choice & 1) != 0;
  if ((choice & 2) != 0) options.session_expiry_s = 7;
  if ((choice & 4) != 0) options.offers.maximum_qos = Qos::kAtLeastOnce;
  options.offers.retain = (choice & 8) == 0;
  options.offers.wildcard_subscriptions = options.offers.subscription_ids = options.offers.shared_subscriptions =
      (choice & 16) == 0;
  return options;
}

/// One connection after another on one session, all fed with the same bytes; an owner that answers at once, late or
/// never, and sends everything it is given back to the client as well.
class Owner {
 public:
  Owner(std::uint8_t choice, std::shared_ptr<Session> session)
      : choice_(choice), session_(std::move(session)), connection_(options_, now_) {}

  /// Feeds the bytes in pieces of `step` and returns all that could be seen from outside.
  std::string run(std::string_view bytes, std::size_t step) {
    std::size_t fed = 0;
    std::size_t taken = 0;
    while (fed < bytes.size() && !closed_) {
      fed = std::min(bytes.size(), fed + step);
      std::string_view input = bytes.substr(taken, fed - taken);
      while (act(connection_.next(input, now_))) {
      }
      taken = fed - input.size();
      require(connection_.in_flight() <= options_.receive_maximum + carried_over_,
              "never more in flight than the receive maximum and what earlier connections left");
      if (connection_.blocked()) break;
    }
    require(connection_.state() != ConnectionState::kAwaitingConnect || connection_.output().empty(),
            "nothing is said before CONNECT");
    if (connection_.state() == ConnectionState::kConnected || closed_) check_output();
    return seen_ + '|' + connection_.output();
  }

 private:
  bool act(const Event& event) {
    if (const auto* requested = std::get_if<ConnectRequested>(&event)) {
      connect(*requested);
    } else if (const auto* received = std::get_if<PublishReceived>(&event)) {
      publish(received->publish);
    } else if (const auto* subscribe = std::get_if<SubscribeRequested>(&event)) {
      answers_.clear();
      SubscriptionReader reader = subscribe->subscribe.reader();
      for (Subscription subscription; reader.next(subscription);) {
        seen_ += subscription.filter;
        answers_.push_back(static_cast<ReasonCode>(subscription.maximum_qos));
      }
      require(connection_.blocked(), "an unanswered SUBSCRIBE blocks");
      require(connection_.suback(subscribe->subscribe.packet_id, answers_), "SUBSCRIBE waits for its answer");
    } else if (const auto* unsubscribe = std::get_if<UnsubscribeRequested>(&event)) {
      require(connection_.unsuback(unsubscribe->unsubscribe.packet_id, answers_), "UNSUBSCRIBE waits for its answer");
    } else if (const auto* over = std::get_if<Closed>(&event)) {
      require(connection_.state() == ConnectionState::kClosed, "closed is closed");
      seen_ += over->rule;
      closed_ = true;
    } else {
      return false;
    }
    if (connection_.pump(now_))
      require(connection_.output().size() >= options_.output_bound, "pump stops at the bound");
    return !closed_;
  }

  void connect(const ConnectRequested& requested) {
    seen_ += requested.connect.client_id;
    const AcceptOptions options = accepted(choice_);
    if (const Fault fault = check_will(requested.connect, options.offers)) {
      connection_.refuse(fault.code, fault.rule);
      closed_ = true;
      return;
    }
    attachment_ = session_->attach({{}, requested.receive_maximum});
    peer_maximum_ = requested.connect.properties.number(PropertyId::kMaximumPacketSize).value_or(kMost * 2);
    carried_over_ = session_->awaiting_release();
    closed_ = !connection_.accept(now_, session_, attachment_, options);
  }

  void publish(const Publish& publish) {
    require(valid_topic_name(publish.topic), "a published topic is a topic name");
    require(publish.qos <= accepted(choice_).offers.maximum_qos, "no QoS above the offer");
    seen_.append(publish.topic).append(publish.payload);
    const Delivery back{make_message(publish, now_), publish.qos, publish.retain, {1, 200'000}};
    static_cast<void>(session_->offer(back, now_));
    // Every third message stays unanswered, so that order and limits are met too; every fifth is refused.
    if (publish.packet_id % 3 == 0) return;
    const auto reason = publish.packet_id % 5 == 0 ? ReasonCode::kQuotaExceeded : ReasonCode::kSuccess;
    if (publish.qos != Qos::kAtMostOnce) connection_.acknowledge(publish.packet_id, {reason, "why", {}});
  }

  /// What the server has written is well-formed, and within what the client takes.
  void check_output() {
    std::string_view rest = connection_.output();
    while (!rest.empty()) {
      Frame frame;
      require(next_frame(rest, 2 * kMost, frame).status == FrameStatus::kComplete, "whole packets are written");
      require(frame.size <= peer_maximum_ || attachment_ == 0, "no packet is larger than the client takes");
      Fault fault;
      require(testing::recode(frame, connection_.version(), fault).has_value(), "what the server writes decodes");
      rest.remove_prefix(frame.size);
    }
  }

  const ServerOptions options_ = limits();
  const std::uint8_t choice_;
  const TimePoint now_{};
  std::shared_ptr<Session> session_;
  ServerConnection connection_;
  Session::Attachment attachment_ = 0;
  std::uint32_t peer_maximum_ = 2 * kMost;
  std::size_t carried_over_ = 0;
  std::vector<ReasonCode> answers_;
  std::string seen_;
  bool closed_ = false;
};

std::string run_connections(std::string_view bytes, std::uint8_t choice, std::size_t step) {
  const auto session = std::make_shared<Session>("assigned", SessionLimits{20, 100'000});
  std::string seen;
  {
    Owner first(choice, session);
    seen += first.run(bytes, step);
    // Again with what the first one has left behind: messages to send again, ids that wait for PUBREL or an answer.
    seen += Owner(choice, session).run(bytes, step);
  }
  seen += Owner(choice, session).run(bytes, step);
  require(session->load().queued + session->load().in_flight <= 20, "a session keeps no more than it may");
  return seen;
}

}  // namespace

void fuzz_one(std::string_view bytes) {
  if (bytes.empty()) return;
  const auto choice = static_cast<std::uint8_t>(bytes[0]);
  bytes.remove_prefix(1);
  check_codec(bytes, (choice & 1) != 0 ? Version::k5 : Version::k311);
  const std::string at_once = run_connections(bytes, choice, bytes.size() + 1);
  require(run_connections(bytes, choice, 1 + (choice >> 1) % 16U) == at_once,
          "pieces of the stream do not change what is seen");
}

}  // namespace millrace::fuzz
