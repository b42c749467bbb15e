// What a publish costs inside the broker, by who has subscribed. Sessions are emptied outside the measured time.
#include <memory>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include <millrace/mqtt/broker.hpp>

namespace millrace::mqtt {
namespace {

constexpr TimePoint kNow{std::chrono::hours(1)};

MessagePtr message(std::string topic, Qos qos = Qos::kAtLeastOnce, bool retain = false) {
  auto made = std::make_shared<Message>();
  made->topic = std::move(topic);
  made->payload.assign(200, 'x');
  made->qos = qos;
  made->retain = retain;
  return made;
}

BrokerLimits wide() {
  BrokerLimits limits;
  limits.session.maximum_messages = 1'000'000;
  limits.session.maximum_bytes = 1UL << 40U;
  limits.maximum_subscriptions_per_session = 100'000;
  limits.maximum_retained_messages = 1'000'000;
  limits.maximum_retained_bytes = 1UL << 40U;
  return limits;
}

class Client {
 public:
  Client(Broker& broker, std::string id) : broker_(&broker) {
    ConnectSpec spec;
    spec.client_id = std::move(id);
    spec.link.wake = [] {};
    connected_ = broker.connect(std::move(spec), kNow);
    drain();
  }
  void subscribe(std::string_view filter) {
    Subscription subscription;
    subscription.filter = filter;
    subscription.maximum_qos = Qos::kAtLeastOnce;
    broker_->subscribe(*connected_.session, subscription, 0, kNow);
  }
  std::size_t drain() {
    std::size_t count = 0;
    for (;; ++count) {
      const auto next = connected_.session->next_outgoing(connected_.attachment, kNow);
      if (next.kind == Session::Outgoing::Kind::kNone) return count;
      if (next.packet_id != 0) connected_.session->on_puback(connected_.attachment, next.packet_id);
    }
  }

 private:
  Broker* broker_;
  Broker::Connected connected_;
};

std::string device_topic(std::int64_t number) { return "devices/meter-" + std::to_string(number) + "/telemetry"; }

/// Others' exact subscriptions (range 0) and wildcard ones (range 1); nobody wants this topic.
void BM_PublishToNobody(benchmark::State& state) {
  static std::unique_ptr<Broker> broker;
  static std::unique_ptr<Client> others;
  if (state.thread_index() == 0) {
    broker = std::make_unique<Broker>(wide(), Broker::WillSink());
    others = std::make_unique<Client>(*broker, "others");
    for (std::int64_t i = 0; i < state.range(0); ++i) others->subscribe(device_topic(i));
    for (std::int64_t i = 0; i < state.range(1); ++i) others->subscribe("rooms/" + std::to_string(i) + "/+/#");
  }
  const MessagePtr one = message(device_topic(-1));
  for (auto _ : state) benchmark::DoNotOptimize(broker->publish(one, nullptr, kNow));
}
BENCHMARK(BM_PublishToNobody)->Args({0, 0})->Args({10'000, 0})->Args({10'000, 1'000});
BENCHMARK(BM_PublishToNobody)->Args({10'000, 0})->Threads(2)->UseRealTime();

/// One exact subscriber among as many as range 0 subscriptions to different topics.
void BM_PublishToOne(benchmark::State& state) {
  Broker broker(wide(), {});
  Client others(broker, "others");
  for (std::int64_t i = 1; i < state.range(0); ++i) others.subscribe(device_topic(i));
  Client subscriber(broker, "subscriber");
  subscriber.subscribe(device_topic(0));
  const MessagePtr one = message(device_topic(0));
  std::int64_t since = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(broker.publish(one, nullptr, kNow));
    if (++since == 1000) {
      state.PauseTiming();
      if (subscriber.drain() != 1000) state.SkipWithError("messages went missing");
      since = 0;
      state.ResumeTiming();
    }
  }
}
BENCHMARK(BM_PublishToOne)->Arg(1)->Arg(10'000);

/// As many subscribers as range 0, by one wildcard filter each or (range 1) by two that overlap.
void BM_PublishToMany(benchmark::State& state) {
  Broker broker(wide(), {});
  std::vector<std::unique_ptr<Client>> clients;
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    clients.push_back(std::make_unique<Client>(broker, "c" + std::to_string(i)));
    clients.back()->subscribe("devices/+/telemetry");
    if (state.range(1) != 0) clients.back()->subscribe("devices/#");
  }
  const MessagePtr one = message(device_topic(0));
  std::int64_t since = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(broker.publish(one, nullptr, kNow));
    if (++since == 100) {
      state.PauseTiming();
      for (auto& client : clients) client->drain();
      since = 0;
      state.ResumeTiming();
    }
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_PublishToMany)->Args({100, 0})->Args({1'000, 0})->Args({1'000, 1});

/// Threads publish, each to a subscriber of its own.
void BM_PublishInThreads(benchmark::State& state) {
  static std::unique_ptr<Broker> broker;
  static std::vector<std::unique_ptr<Client>> clients;
  if (state.thread_index() == 0) {
    clients.clear();
    broker = std::make_unique<Broker>(wide(), Broker::WillSink());
    for (int i = 0; i < state.threads(); ++i) {
      clients.push_back(std::make_unique<Client>(*broker, "c" + std::to_string(i)));
      clients.back()->subscribe(device_topic(i));
    }
  }
  const MessagePtr one = message(device_topic(state.thread_index()));
  std::int64_t since = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(broker->publish(one, nullptr, kNow));
    if (++since == 100) {  // measured too: both sides of a session
      clients[static_cast<std::size_t>(state.thread_index())]->drain();
      since = 0;
    }
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_PublishInThreads)->Threads(1)->Threads(2)->UseRealTime();

void BM_PublishToSharedGroup(benchmark::State& state) {
  Broker broker(wide(), {});
  std::vector<std::unique_ptr<Client>> clients;
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    clients.push_back(std::make_unique<Client>(broker, "c" + std::to_string(i)));
    clients.back()->subscribe("$share/g/devices/+/telemetry");
  }
  const MessagePtr one = message(device_topic(0));
  std::int64_t since = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(broker.publish(one, nullptr, kNow));
    if (++since == 1000) {
      state.PauseTiming();
      for (auto& client : clients) client->drain();
      since = 0;
      state.ResumeTiming();
    }
  }
}
BENCHMARK(BM_PublishToSharedGroup)->Arg(10);

/// A retained message replaces the last one of its topic, among range 0 topics.
void BM_PublishRetained(benchmark::State& state) {
  Broker broker(wide(), {});
  std::vector<MessagePtr> messages;
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    messages.push_back(message(device_topic(i), Qos::kAtLeastOnce, true));
    broker.publish(messages.back(), nullptr, kNow);
  }
  std::size_t next = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(broker.publish(messages[next], nullptr, kNow));
    if (++next == messages.size()) next = 0;
  }
}
BENCHMARK(BM_PublishRetained)->Arg(1)->Arg(10'000);

}  // namespace
}  // namespace millrace::mqtt
