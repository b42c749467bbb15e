// Sessions and presence of two gateways over a real Kafka.
#include "presence/sessions.hpp"

#include <atomic>
#include <cstdlib>
#include <mutex>

#include <gtest/gtest.h>

#include <millrace/base/digest.hpp>
#include <millrace/kafka/admin.hpp>
#include <millrace/kafka/topics.hpp>

#include "eventually.hpp"
#include "presence/presence.hpp"

namespace millrace::gateway {
namespace {

using millrace::testing::eventually;
using std::chrono::seconds;

class TwoGateways : public ::testing::Test {
 protected:
  struct Gateway {
    Gateway(const kafka::Settings& settings, const kafka::TopicNames& topics, const std::string& name)
        : presence({{.kafka = settings, .topic = topics.presence()}, name, random_bytes(16)}, threads, gateway_metrics),
          sessions({{.kafka = settings, .topic = topics.sessions()}, name, random_bytes(16)}, threads) {
      presence.on_newer([this](const Visit&, std::uint64_t epoch) { newer = epoch; });
      threads.start();
      presence.start();
      sessions.start();
    }
    ~Gateway() {
      sessions.stop();
      presence.stop();
      threads.stop();
    }
    Gateway(const Gateway&) = delete;
    Gateway& operator=(const Gateway&) = delete;

    std::uint64_t connect(const Visit& visit) {
      std::atomic<std::int64_t> epoch{-1};
      EXPECT_TRUE(
          presence
              .announce(visit, [&](const Result<std::uint64_t>& given) { epoch = static_cast<std::int64_t>(*given); })
              .ok());
      EXPECT_TRUE(eventually([&] { return epoch >= 0; }));
      return static_cast<std::uint64_t>(epoch.load());
    }
    bool written(const Visit& visit, const mqtt::StoredSession& session, bool connected) {
      std::atomic<bool> done{false};
      EXPECT_TRUE(sessions.write(visit, session, connected, [&](const Status& status) { done = status.ok(); }).ok());
      return eventually([&] { return done.load(); });
    }
    bool read_up(const Visit& visit) {
      std::atomic<bool> done{false};
      sessions.read_up(visit, [&] { done = true; });
      return eventually([&] { return done.load(); });
    }

    observability::Metrics metrics;
    GatewayMetrics gateway_metrics{metrics};
    IoThreads threads{1};
    std::atomic<std::uint64_t> newer{0};
    Presence presence;
    Sessions sessions;
  };

  void SetUp() override {
    const char* bootstrap = std::getenv("MILLRACE_TEST_KAFKA");
    if (bootstrap == nullptr) {
      ASSERT_EQ(std::getenv("MILLRACE_TEST_REQUIRE"), nullptr) << "MILLRACE_TEST_KAFKA is not set";
      GTEST_SKIP() << "MILLRACE_TEST_KAFKA is not set";
    }
    const kafka::Settings settings{bootstrap, "gateway-test"};
    kafka::TopicNames topics;
    topics.prefix = "gs-" + random_token(6) + ".";
    kafka::Admin admin(settings);
    const auto created = admin.create_missing(kafka::wanted_topics(topics, {4, 1}), seconds(60));
    ASSERT_TRUE(created.ok()) << created.error().message;
    one_ = std::make_unique<Gateway>(settings, topics, "gw-1");
    two_ = std::make_unique<Gateway>(settings, topics, "gw-2");
    for (Gateway* gateway : {one_.get(), two_.get()}) {
      ASSERT_TRUE(eventually([&] { return gateway->presence.accepting() && gateway->sessions.accepting(); }));
    }
  }

  std::unique_ptr<Gateway> one_;
  std::unique_ptr<Gateway> two_;
};

TEST_F(TwoGateways, EpochsOfADeviceGrowOverBothAndEachHearsOfTheOther) {
  std::uint64_t last = 0;
  for (int i = 0; i < 4; ++i) {
    Gateway& here = i % 2 == 0 ? *one_ : *two_;
    Gateway& there = i % 2 == 0 ? *two_ : *one_;
    const std::uint64_t epoch = here.connect(here.presence.visit("acme", "m-1", "c"));
    EXPECT_TRUE(i == 0 || epoch > last);
    EXPECT_TRUE(eventually([&] { return there.newer == epoch; }));
    last = epoch;
  }
}

TEST_F(TwoGateways, WhatOneHasWrittenTheOtherFindsOnceItHasReadUp) {
  const Visit visit = one_->presence.visit("acme", "m-1", "c");
  for (std::uint64_t epoch = 1; epoch <= 50; ++epoch) {
    const mqtt::StoredSession session{epoch, 600, {{"a/b", mqtt::Qos::kAtLeastOnce, false, false, 0}}, {}};
    Gateway& here = epoch % 2 == 0 ? *one_ : *two_;
    Gateway& there = epoch % 2 == 0 ? *two_ : *one_;
    ASSERT_TRUE(here.written(visit, session, false));
    ASSERT_TRUE(there.read_up(visit));
    ASSERT_EQ(there.sessions.find(visit), session) << "no later than that";
  }
  std::atomic<bool> removed{false};
  ASSERT_TRUE(one_->sessions.remove(visit, [&](const Status& status) { removed = status.ok(); }).ok());
  ASSERT_TRUE(eventually([&] { return removed.load(); }));
  ASSERT_TRUE(two_->read_up(visit));
  EXPECT_FALSE(two_->sessions.contains(visit));
}

TEST_F(TwoGateways, ASessionIsBounded) {
  const Visit visit = one_->presence.visit("acme", "m-1", "c");
  mqtt::StoredSession session{1, 600, {}, {}};
  for (int i = 0; i < 200; ++i) session.subscriptions.push_back({std::string(1000, 'f'), {}, false, false, 0});
  const Status refused = one_->sessions.write(visit, session, true, {});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::kTooLarge);
}

}  // namespace
}  // namespace millrace::gateway
