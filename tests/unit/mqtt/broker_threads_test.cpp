// Many threads at once: what is promised is checked by counting. Meant for ThreadSanitizer too.
#include <atomic>
#include <mutex>
#include <thread>

#include "broker_harness.hpp"

namespace millrace::mqtt::testing {
namespace {

constexpr Qos k1 = Qos::kAtLeastOnce;

/// Takes everything that comes for a session and checks that no publisher's numbers go back or leave a gap.
class Sink {
 public:
  explicit Sink(std::size_t publishers) : next_(publishers, 0) {}

  void drain(Session& session, Session::Attachment attachment, TimePoint now) {
    for (;;) {
      const auto next = session.next_outgoing(attachment, now);
      if (next.kind != Session::Outgoing::Kind::kPublish) return;
      take(next.delivery.message->payload);
      if (next.packet_id != 0) session.on_puback(attachment, next.packet_id);
    }
  }
  std::size_t received = 0;
  std::size_t gaps = 0;

 private:
  void take(const std::string& payload) {
    const std::size_t colon = payload.find(':');
    std::size_t& next = next_[std::stoul(payload.substr(0, colon))];
    const std::size_t number = std::stoul(payload.substr(colon + 1));
    if (number != next) ++gaps;
    next = number + 1;
    ++received;
  }

  std::vector<std::size_t> next_;
};

TEST(BrokerThreads, EverySubscriberGetsEverythingOnceAndInOrder) {
  constexpr std::size_t kPublishers = 3;
  constexpr std::size_t kMessages = 2000;
  constexpr std::size_t kSubscribers = 3;
  BrokerLimits limits;
  limits.session.maximum_messages = kPublishers * kMessages;
  limits.session.maximum_bytes = 1U << 30U;
  World world(limits);
  std::vector<std::unique_ptr<Client>> clients;
  for (std::size_t i = 0; i < kSubscribers; ++i) {
    clients.push_back(std::make_unique<Client>(world, "s" + std::to_string(i)));
    clients.back()->subscribe(i % 2 == 0 ? "t/#" : "t/1");
  }
  std::vector<Sink> sinks(kSubscribers, Sink(kPublishers));
  std::atomic<bool> done{false};
  {
    std::vector<std::jthread> threads;
    for (std::size_t p = 0; p < kPublishers; ++p) {
      threads.emplace_back([&, p] {
        for (std::size_t i = 0; i < kMessages; ++i) {
          const std::string payload = std::to_string(p) + ":" + std::to_string(i);
          world.publish(i % 16 == 0 ? retained("t/1", payload) : message("t/1", payload));
        }
      });
    }
    // Tables change all the time, and nobody is the worse for it.
    threads.emplace_back([&] {
      for (std::size_t i = 0; !done.load(); ++i) {
        Client other(world, "other" + std::to_string(i % 7));
        other.subscribe("t/+");
        other.subscribe("u/" + std::to_string(i));
        other.unsubscribe("t/+");
        if (i % 3 != 0) other.disconnect();
        static_cast<void>(world.broker.deadline());
      }
    });
    threads.emplace_back([&] {
      for (bool last = false; !last;) {
        last = done.load();
        for (std::size_t s = 0; s < kSubscribers; ++s) {
          sinks[s].drain(clients[s]->session(), clients[s]->connected.attachment, world.now);
        }
      }
    });
    for (std::size_t p = 0; p < kPublishers; ++p) threads[p].join();
    done = true;
  }
  for (const auto& sink : sinks) {
    EXPECT_EQ(sink.received, kPublishers * kMessages);
    EXPECT_EQ(sink.gaps, 0U);  // [MQTT-4.6.0-5]
  }
}

TEST(BrokerThreads, ARetainedMessageNeverComesAfterANewerOne) {
  World world;
  std::atomic<bool> done{false};
  std::size_t steps_back = 0;
  {
    std::jthread publisher([&] {
      for (int i = 1; !done.load(); ++i) world.publish(retained("t", std::to_string(i)));
    });
    for (int round = 0; round < 300; ++round) {
      Client a(world, "a");
      a.subscribe("t");
      int last = 0;
      for (const auto& one : a.receive()) {
        if (std::stoi(one.payload) <= last) ++steps_back;
        last = std::stoi(one.payload);
      }
      a.disconnect();
    }
    done = true;
  }
  EXPECT_EQ(steps_back, 0U);
}

TEST(BrokerThreads, TakeoversLoseNothing) {
  constexpr std::size_t kMessages = 3000;
  BrokerLimits limits;
  limits.session.maximum_messages = 2 * kMessages;
  World world(limits);
  Broker& broker = world.broker;
  std::atomic<std::size_t> ends{0};
  std::atomic<std::size_t> wakes{0};
  const auto spec = [&] {
    ConnectSpec made;
    made.client_id = "a";
    made.clean_start = false;
    made.session_expiry_s = 60;
    made.link.wake = [&] { ++wakes; };
    made.end = [&](ReasonCode, const char*) { ++ends; };
    return made;
  };
  auto first = broker.connect(spec(), world.now);
  ASSERT_EQ(broker.subscribe(*first.session, {"t", k1}, 0, world.now), R::kGrantedQos1);
  std::atomic<std::size_t> connects{1};
  std::atomic<std::size_t> goodbyes{0};
  std::mutex mutex;
  std::vector<bool> seen(kMessages, false);
  const auto take_over = [&](std::size_t rounds) {
    for (std::size_t i = 0; i < rounds; ++i) {
      const auto mine = broker.connect(spec(), world.now);
      ++connects;
      EXPECT_TRUE(mine.session_present);
      for (;;) {
        const auto next = mine.session->next_outgoing(mine.attachment, world.now);
        if (next.kind != Session::Outgoing::Kind::kPublish) break;
        // Answered or not: one that was not comes again over the next connection.
        if (!mine.session->on_puback(mine.attachment, next.packet_id)) break;
        const std::scoped_lock lock(mutex);
        seen[std::stoul(next.delivery.message->payload)] = true;
      }
      if (i % 4 == 0) {
        broker.disconnect(*mine.session, mine.attachment, {}, world.now);
        ++goodbyes;
      }
    }
  };
  {
    std::jthread publisher([&] {
      for (std::size_t i = 0; i < kMessages; ++i) world.publish(message("t", std::to_string(i)));
    });
    std::jthread one([&] { take_over(300); });
    std::jthread two([&] { take_over(300); });
  }
  take_over(1);
  EXPECT_EQ(std::ranges::count(seen, true), static_cast<std::ptrdiff_t>(kMessages));
  const auto counts = broker.counts();
  EXPECT_EQ(counts.delivered, kMessages);
  EXPECT_EQ(counts.sessions, 1U);
  EXPECT_EQ(counts.sessions_overflowed, 0U);
  // Every connection has gone by being told or by saying so (a goodbye may have come too late and count as neither).
  EXPECT_LE(ends.load(), connects.load() - counts.connected);
  EXPECT_GE(ends.load() + goodbyes.load(), connects.load() - counts.connected);
}

TEST(BrokerThreads, OverflowsAreToldOnceEach) {
  BrokerLimits limits;
  limits.session.maximum_messages = 5;
  World world(limits);
  Broker& broker = world.broker;
  std::atomic<std::size_t> overflows{0};
  std::atomic<std::size_t> resumed_after_overflow{0};
  std::atomic<bool> done{false};
  {
    std::vector<std::jthread> publishers;
    for (int p = 0; p < 2; ++p) {
      publishers.emplace_back([&] {
        while (!done.load()) world.publish(message("t", "x"));
      });
    }
    std::vector<std::jthread> clients;
    for (int c = 0; c < 2; ++c) {
      clients.emplace_back([&, c] {
        bool told = false;
        for (int round = 0; round < 200; ++round) {
          auto ended = std::make_shared<std::atomic<bool>>(false);
          ConnectSpec spec;
          spec.client_id = "c" + std::to_string(c);
          spec.clean_start = false;
          spec.session_expiry_s = kForEver;
          spec.end = [&, ended](ReasonCode reason, const char*) {
            if (reason == R::kQuotaExceeded) ++overflows;
            *ended = true;
          };
          const auto mine = broker.connect(std::move(spec), world.now);
          if (told && mine.session_present) ++resumed_after_overflow;
          broker.subscribe(*mine.session, {"t", k1}, 0, world.now);
          while (!ended->load()) std::this_thread::yield();
          told = true;
        }
      });
    }
    clients.clear();
    done = true;
  }
  EXPECT_EQ(overflows.load(), 400U);
  EXPECT_EQ(resumed_after_overflow.load(), 0U);
  EXPECT_EQ(broker.counts().sessions_overflowed, 400U);
  EXPECT_EQ(broker.counts().sessions, 0U);
}

TEST(BrokerThreads, AWaitingWriterIsNotPassedByReaders) {
  World world;
  std::atomic<bool> done{false};
  std::vector<std::jthread> publishers;
  for (int p = 0; p < 3; ++p) {
    publishers.emplace_back([&] {
      while (!done.load()) world.publish(message("t", "x"));
    });
  }
  for (int i = 0; i < 500; ++i) Client(world, "c" + std::to_string(i)).disconnect();
  done = true;
  EXPECT_EQ(world.broker.counts().sessions, 0U);
}

}  // namespace
}  // namespace millrace::mqtt::testing
