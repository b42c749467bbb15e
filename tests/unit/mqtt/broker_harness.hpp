#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <millrace/mqtt/broker.hpp>

namespace millrace::mqtt::testing {

using namespace std::chrono_literals;
using R = ReasonCode;

struct Received {
  std::string topic;
  std::string payload;
  Qos qos = Qos::kAtMostOnce;
  bool retain = false;
  std::vector<std::uint32_t> ids{};
  bool operator==(const Received&) const = default;
  friend void PrintTo(const Received& r, std::ostream* out) {
    *out << r.topic << '=' << r.payload << " QoS " << static_cast<int>(r.qos) << (r.retain ? " retained" : "")
         << " ids";
    for (const auto id : r.ids) *out << ' ' << id;
  }
};

inline std::vector<std::string> payloads(const std::vector<Received>& all) {
  std::vector<std::string> out;
  for (const auto& one : all) out.push_back(one.payload);
  return out;
}
inline std::vector<std::string> sorted(std::vector<std::string> texts) {
  std::ranges::sort(texts);
  return texts;
}
using Texts = std::vector<std::string>;

inline MessagePtr message(std::string topic, std::string payload, Qos qos = Qos::kAtLeastOnce) {
  auto made = std::make_shared<Message>();
  made->topic = std::move(topic);
  made->payload = std::move(payload);
  made->qos = qos;
  return made;
}
inline MessagePtr retained(std::string topic, std::string payload, Qos qos = Qos::kAtLeastOnce) {
  Message made = *message(std::move(topic), std::move(payload), qos);
  made.retain = true;
  return std::make_shared<Message>(std::move(made));
}
inline MessagePtr expiring(const MessagePtr& from, TimePoint at) {
  Message made = *from;
  made.expires_at = at;
  return std::make_shared<Message>(std::move(made));
}

/// A broker, a clock, and the wills that came due (published unless publish_wills is off).
struct World {
  explicit World(BrokerLimits limits = {}, std::shared_ptr<MemoryShare> memory = nullptr)
      : broker(
            limits,
            [this](const std::string& client, const MessagePtr& will) {
              wills.emplace_back(client, will);
              if (publish_wills) broker.publish(will, nullptr, now);
            },
            std::move(memory)) {}

  Broker::Published publish(const MessagePtr& what, const Session* publisher = nullptr) {
    return broker.publish(what, publisher, now);
  }
  void pass(TimePoint::duration time) {
    now += time;
    broker.on_timer(now);
  }
  Texts will_payloads() const {
    Texts out;
    for (const auto& [client, will] : wills) out.push_back(will->payload);
    return out;
  }

  TimePoint now{1000h};
  bool publish_wills = true;
  std::vector<std::pair<std::string, MessagePtr>> wills;
  Broker broker;
};

constexpr std::uint32_t kForEver = 0xFFFFFFFF;

/// One connection of a client; it answers what it receives.
class Client {
 public:
  struct Options {
    bool clean_start = true;
    std::uint32_t session_expiry_s = 0;
    std::string owner{};
    MessagePtr will{};
    std::uint32_t will_delay_s = 0;
    std::optional<std::uint32_t> will_expiry_s{};
    std::function<void()> on_wake{};
    std::function<void(ReasonCode)> on_end{};
  };
  Client(World& world, std::string id) : Client(world, std::move(id), Options{}) {}
  Client(World& world, std::string id, Options options) : world_(&world) {
    ConnectSpec spec;
    spec.client_id = std::move(id);
    spec.owner = options.owner;
    spec.clean_start = options.clean_start;
    spec.session_expiry_s = options.session_expiry_s;
    spec.will = options.will;
    spec.will_delay_s = options.will_delay_s;
    spec.will_expiry_s = options.will_expiry_s;
    spec.link.wake = [this, call = options.on_wake] {
      ++wakes;
      if (call) call();
    };
    spec.end = [this, call = options.on_end](ReasonCode reason, const char*) {
      ends.push_back(reason);
      if (call) call(reason);
    };
    connected = world.broker.connect(std::move(spec), world.now);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  Session& session() const { return *connected.session; }
  bool session_present() const { return connected.session_present; }

  ReasonCode subscribe(std::string_view filter, Qos qos = Qos::kAtLeastOnce, std::uint32_t id = 0) {
    Subscription subscription;
    subscription.filter = filter;
    subscription.maximum_qos = qos;
    return subscribe(subscription, id);
  }
  ReasonCode subscribe(const Subscription& subscription, std::uint32_t id = 0) {
    return world_->broker.subscribe(session(), subscription, id, world_->now);
  }
  ReasonCode unsubscribe(std::string_view filter) { return world_->broker.unsubscribe(session(), filter); }
  Broker::Published publish(const MessagePtr& what) { return world_->publish(what, connected.session.get()); }

  /// Everything that is to be sent, answered at once.
  std::vector<Received> receive() {
    std::vector<Received> all;
    for (;;) {
      Session::Outgoing next = session().next_outgoing(connected.attachment, world_->now);
      if (next.kind == Session::Outgoing::Kind::kNone) break;
      if (next.kind == Session::Outgoing::Kind::kPublish) {
        const Delivery& d = next.delivery;
        std::vector<std::uint32_t> ids = d.subscription_ids;
        std::ranges::sort(ids);
        all.push_back({d.message->topic, d.message->payload, d.qos, d.retain, std::move(ids)});
        if (d.qos == Qos::kAtLeastOnce) session().on_puback(connected.attachment, next.packet_id);
        if (d.qos == Qos::kExactlyOnce) session().on_pubrec(connected.attachment, next.packet_id, R::kSuccess);
      }
      if (d_is_exactly_once(next)) session().on_pubcomp(connected.attachment, next.packet_id);
    }
    return all;
  }
  Texts texts() { return payloads(receive()); }

  void drop(std::optional<std::uint32_t> expiry = {}) { leave({true, expiry}); }         ///< the network failed
  void disconnect(std::optional<std::uint32_t> expiry = {}) { leave({false, expiry}); }  ///< DISCONNECT, reason 0

  Broker::Connected connected;
  std::vector<ReasonCode> ends;
  std::atomic<int> wakes{0};  // by whatever thread publishes

 private:
  static bool d_is_exactly_once(const Session::Outgoing& next) {
    return next.kind == Session::Outgoing::Kind::kPubrel || next.delivery.qos == Qos::kExactlyOnce;
  }
  void leave(Broker::Goodbye goodbye) {
    world_->broker.disconnect(session(), connected.attachment, goodbye, world_->now);
  }

  World* world_;
};

}  // namespace millrace::mqtt::testing
