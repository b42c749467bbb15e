#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "broker_harness.hpp"

namespace millrace::mqtt {
namespace {

using testing::Client;
using testing::message;
using testing::retained;
using testing::World;
using namespace std::chrono_literals;
using R = ReasonCode;

constexpr std::size_t kMiB = 1024 * 1024;

std::size_t fill(MemoryShare& share, std::size_t step = 1) {
  std::size_t taken = 0;
  while (share.take(step)) taken += step;
  return taken;
}

TEST(MemoryShare, OneThatTakesAllItCanLeavesHalfToWhoComesNext) {
  const auto whole = std::make_shared<MemoryShare>(1200);
  MemoryShare greedy(whole);
  EXPECT_EQ(fill(greedy), 600U);
  MemoryShare next(whole);
  EXPECT_EQ(fill(next), 300U) << "as much as is still free then";
  MemoryShare third(whole);
  EXPECT_EQ(fill(third), 150U);
  EXPECT_EQ(whole->used(), 1050U);
  EXPECT_EQ(whole->refused(), 3U);
}

TEST(MemoryShare, TheOnlyDeviceOfTheOnlyTenantGetsAThird) {
  const auto whole = std::make_shared<MemoryShare>(1200);
  const auto tenant = std::make_shared<MemoryShare>(whole);
  MemoryShare device(tenant);
  EXPECT_EQ(fill(device), 400U);
  MemoryShare other(tenant);
  EXPECT_GT(fill(other), 100U) << "it cannot shut out another of its tenant";
  MemoryShare elsewhere(std::make_shared<MemoryShare>(whole));
  EXPECT_GT(fill(elsewhere), 100U) << "nor another tenant";
}

TEST(MemoryShare, WhatIsGivenBackCanBeTakenAgainByAnybody) {
  const auto whole = std::make_shared<MemoryShare>(1200);
  MemoryShare first(whole);
  const std::size_t taken = fill(first);
  first.give_back(taken);
  EXPECT_EQ(whole->used(), 0U);
  MemoryShare second(whole);
  EXPECT_EQ(fill(second), taken);
}

TEST(MemoryShare, WhatIsTakenAnywayCountsAgainstWhatComes) {
  const auto whole = std::make_shared<MemoryShare>(1000);
  MemoryShare share(whole);
  share.take_anyway(5000);
  EXPECT_FALSE(share.take(1));
  share.give_back(4900);
  EXPECT_TRUE(share.take(1));
}

TEST(MemoryShare, ThreadsNeverTakeMoreThanThereIs) {
  const auto whole = std::make_shared<MemoryShare>(kMiB);
  std::vector<std::unique_ptr<MemoryShare>> shares;
  for (int i = 0; i < 4; ++i) shares.push_back(std::make_unique<MemoryShare>(whole));
  std::vector<std::thread> threads;
  std::vector<std::size_t> taken(shares.size());
  for (std::size_t i = 0; i < shares.size(); ++i) {
    threads.emplace_back([&, i] { taken[i] = fill(*shares[i], 7); });
  }
  for (auto& thread : threads) thread.join();
  std::size_t sum = 0;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    EXPECT_EQ(shares[i]->used(), taken[i]);
    sum += taken[i];
  }
  EXPECT_EQ(whole->used(), sum);
  EXPECT_LE(sum, kMiB);
}

TEST(MemoryCharge, GivesBackAtItsEndAndMovesWithItsOwner) {
  const auto share = std::make_shared<MemoryShare>(1000);
  {
    MemoryCharge charge(share);
    EXPECT_TRUE(charge.take(300));
    EXPECT_FALSE(charge.take(800));
    MemoryCharge moved = std::move(charge);
    moved.give_back(100);
    EXPECT_EQ(share->used(), 200U);
    moved = MemoryCharge(share);
  }
  EXPECT_EQ(share->used(), 0U);
  MemoryCharge nobodys;
  EXPECT_TRUE(nobodys.take(kMiB));
}

// --- in a broker ---

TEST(BrokerMemory, NothingIsLeftWhenEverybodyHasGone) {
  const auto whole = std::make_shared<MemoryShare>(64 * kMiB);
  {
    World world({}, std::make_shared<MemoryShare>(whole));
    auto subscriber = std::make_unique<Client>(
        world, "sub", Client::Options{.clean_start = false, .session_expiry_s = 60, .owner = "d"});
    Client& sub = *subscriber;
    ASSERT_EQ(sub.subscribe("t/#", Qos::kExactlyOnce), R::kGrantedQos2);
    ASSERT_EQ(sub.subscribe("t/+/x", Qos::kAtLeastOnce), R::kGrantedQos1);
    ASSERT_EQ(sub.unsubscribe("t/+/x"), R::kSuccess);
    Client pub(world, "pub", {.owner = "e", .will = message("t/will", "gone"), .will_delay_s = 0});
    for (int i = 0; i < 100; ++i) {
      const Publish publish{"t/1", "payload", Qos::kAtLeastOnce, false, i == 50, 1, {}};
      EXPECT_EQ(pub.publish(make_message(publish, world.now, pub.session().memory())).matched, 1U);
    }
    EXPECT_EQ(sub.receive().size(), 100U);
    pub.drop();
    for (int i = 0; i < 100; ++i) world.publish(message("t/2", "x"));
    EXPECT_GT(whole->used(), 10'000U);
    sub.drop();
    world.pass(60s);
    EXPECT_EQ(world.broker.counts().sessions, 0U);
    subscriber.reset();
    world.wills.clear();
    world.publish(retained("t/1", ""));
    EXPECT_EQ(whole->used(), 0U);
  }
}

TEST(BrokerMemory, AGreedyDeviceIsRefusedAndTheOthersOfItsTenantAreNot) {
  const auto whole = std::make_shared<MemoryShare>(3 * kMiB);
  BrokerLimits limits;
  limits.session.maximum_messages = 1'000'000;
  limits.session.maximum_bytes = 1024 * kMiB;
  World world(limits, std::make_shared<MemoryShare>(whole));
  Client sink(world, "sink", {.clean_start = false, .session_expiry_s = 600, .owner = "greedy"});
  sink.subscribe("g/#");
  Client greedy(world, "source", {.owner = "greedy"});
  const std::string payload(10'000, 'x');
  std::size_t kept = 0;
  for (; kept < 1000; ++kept) {
    const auto sent = make_message(Publish{"g/1", payload, Qos::kAtLeastOnce, false, false, 1, {}}, world.now,
                                   greedy.session().memory());
    if (!sent) break;
    greedy.publish(sent);
  }
  EXPECT_GT(kept, 90U);
  EXPECT_LT(kept, 110U) << "a third of all";
  EXPECT_TRUE(sink.ends.empty()) << "who publishes is refused; who listens is not ended";

  Client modest(world, "m", {.owner = "modest"});
  ASSERT_NE(modest.connected.session, nullptr);
  EXPECT_EQ(modest.subscribe("m/#"), R::kGrantedQos1);
  const auto sent = make_message(Publish{"m/1", payload, Qos::kAtLeastOnce, false, false, 1, {}}, world.now,
                                 modest.session().memory());
  ASSERT_NE(sent, nullptr);
  EXPECT_EQ(modest.publish(sent).matched, 1U);
  EXPECT_EQ(modest.texts().size(), 1U);
  EXPECT_EQ(sink.receive().size(), kept);
  EXPECT_NE(make_message(Publish{"g/1", payload, Qos::kAtLeastOnce, false, false, 1, {}}, world.now,
                         greedy.session().memory()),
            nullptr)
      << "there is room again";
}

TEST(BrokerMemory, PlacesInQueuesCountThoughTheMessageIsOne) {
  const auto whole = std::make_shared<MemoryShare>(2 * kMiB);
  BrokerLimits limits;
  limits.session.maximum_messages = 1'000'000;
  World world(limits, whole);
  std::vector<std::unique_ptr<Client>> listeners;
  for (int i = 0; i < 50; ++i) {
    listeners.push_back(std::make_unique<Client>(
        world, "c" + std::to_string(i),
        Client::Options{.clean_start = false, .session_expiry_s = 600, .owner = "d" + std::to_string(i)}));
    listeners.back()->subscribe("t");
  }
  for (int i = 0; i < 2000; ++i) world.publish(message("t", "x"));
  EXPECT_LE(whole->used(), 2 * kMiB);
  EXPECT_GT(world.broker.counts().sessions_overflowed, 0U) << "a gap is not silent";
}

TEST(BrokerMemory, SessionsAndSubscriptionsCount) {
  const auto whole = std::make_shared<MemoryShare>(64 * 1024);
  World world({}, whole);
  Client client(world, "c", {.owner = "d"});
  int granted = 0;
  while (granted < 1000 && client.subscribe("filter/" + std::to_string(granted)) == R::kGrantedQos1) ++granted;
  EXPECT_GT(granted, 50);
  EXPECT_LT(granted, 200);
  EXPECT_EQ(client.subscribe("filter/0"), R::kGrantedQos1) << "what is there may be changed";
  std::vector<std::unique_ptr<Client>> others;
  while (others.size() < 1000) {
    others.push_back(std::make_unique<Client>(world, "o" + std::to_string(others.size())));
    if (others.back()->connected.session == nullptr) break;
  }
  EXPECT_GT(others.size(), 10U);
  EXPECT_LT(others.size(), 64U);
  EXPECT_STRNE(others.back()->connected.why, "");
  client.disconnect();
  EXPECT_NE(Client(world, "next").connected.session, nullptr);
}

TEST(BrokerMemory, SessionsOfOneDeviceAreCounted) {
  BrokerLimits limits;
  limits.maximum_sessions_per_owner = 2;
  World world(limits);
  Client a(world, "d/a", {.clean_start = false, .session_expiry_s = 10, .owner = "d"});
  Client b(world, "d/b", {.owner = "d"});
  Client c(world, "d/c", {.owner = "d"});
  EXPECT_EQ(c.connected.session, nullptr);
  EXPECT_STREQ(c.connected.why, "there are as many sessions as the device may have");
  EXPECT_EQ(c.connected.most, 2U);
  EXPECT_NE(Client(world, "e/a", {.owner = "e"}).connected.session, nullptr);
  EXPECT_NE(Client(world, "d/b", {.owner = "d"}).connected.session, nullptr) << "its own place";
  a.drop();
  EXPECT_EQ(Client(world, "d/c", {.owner = "d"}).connected.session, nullptr) << "a session without a connection counts";
  world.pass(10s);
  EXPECT_NE(Client(world, "d/c", {.owner = "d"}).connected.session, nullptr);
}

TEST(BrokerMemory, WhoComesBackFindsWhatItStillKeeps) {
  const auto whole = std::make_shared<MemoryShare>(3 * kMiB);
  World world({}, std::make_shared<MemoryShare>(whole));
  const std::string payload(100'000, 'x');
  int kept = 0;
  for (int i = 0; i < 100; ++i) {
    Client client(world, "c", {.owner = "d"});
    const auto sent = make_message(Publish{"r/" + std::to_string(i), payload, Qos::kAtLeastOnce, false, true, 1, {}},
                                   world.now, client.session().memory());
    if (sent && !client.publish(sent).retained_full) ++kept;
    client.disconnect();
  }
  EXPECT_GT(kept, 5);
  EXPECT_LT(kept, 12) << "a third of all, however often it connects anew";
}

}  // namespace
}  // namespace millrace::mqtt
