// Sessions that an owner keeps for several brokers.
#include "broker_harness.hpp"

namespace millrace::mqtt::testing {
namespace {

using Filter = StoredSession::Subscription;

class Stored : public ::testing::Test {
 protected:
  Broker::Connected connect(std::uint64_t epoch, std::optional<StoredSession> stored, bool clean = false) {
    ConnectSpec spec;
    spec.client_id = "c";
    spec.clean_start = clean;
    spec.session_expiry_s = 60;
    spec.epoch = epoch;
    spec.shared = true;
    spec.stored = std::move(stored);
    spec.end = [this](ReasonCode reason, const char*) { ends_.push_back(reason); };
    return world_.broker.connect(std::move(spec), world_.now);
  }
  static StoredSession stored(std::uint64_t epoch) {
    return {epoch, 60, {Filter{"a/+", Qos::kAtLeastOnce, false, true, 7}}, {3, 65535}};
  }

  World world_;
  std::vector<ReasonCode> ends_;
};

TEST_F(Stored, ASessionOfAnotherBrokerGoesOnHere) {
  const auto connected = connect(9, stored(5));
  EXPECT_TRUE(connected.session_present);
  auto expected = stored(9);
  expected.unreleased.clear();
  EXPECT_EQ(world_.broker.snapshot(*connected.session), expected);
  EXPECT_EQ(world_.publish(message("a/b", "x")).matched, 1U);
  EXPECT_EQ(connected.session->begin_taking(connected.attachment, 3), Session::Taking::kTaken);
  EXPECT_EQ(connected.session->begin_taking(connected.attachment, 4), Session::Taking::kNew);
  EXPECT_TRUE(connected.session->release(connected.attachment, 65535));
}

TEST_F(Stored, TheEndOfAConnectionTellsWhatIsToBeKept) {
  const auto connected = connect(9, std::nullopt);
  EXPECT_FALSE(connected.session_present);
  ASSERT_EQ(connected.session->begin_taking(connected.attachment, 12), Session::Taking::kNew);
  connected.session->take(12);
  const auto left = world_.broker.disconnect(*connected.session, connected.attachment, {}, world_.now);
  EXPECT_TRUE(left.ours);
  ASSERT_TRUE(left.kept);
  EXPECT_EQ(left.kept->epoch, 9U);
  EXPECT_EQ(left.kept->unreleased, std::vector<std::uint16_t>{12});
  const auto again = world_.broker.disconnect(*connected.session, connected.attachment, {}, world_.now);
  EXPECT_FALSE(again.ours || again.kept);
}

TEST_F(Stored, ASessionThatHasGoneOnElsewhereCountsNoMore) {
  const auto first = connect(5, std::nullopt);
  static_cast<void>(world_.broker.disconnect(*first.session, first.attachment, {}, world_.now));
  // Epoch 7 was another broker's.
  const auto second = connect(9, StoredSession{7, 60, {}, {}});
  EXPECT_TRUE(second.session_present);
  EXPECT_NE(second.session, first.session);
  static_cast<void>(world_.broker.disconnect(*second.session, second.attachment, {}, world_.now));
  EXPECT_FALSE(connect(11, std::nullopt).session_present) << "it was ended elsewhere";
}

TEST_F(Stored, ItsOwnSessionGoesOnWithItsQueue) {
  const auto first = connect(5, std::nullopt);
  Subscription subscription;
  subscription.filter = "a";
  subscription.maximum_qos = Qos::kAtLeastOnce;
  world_.broker.subscribe(*first.session, subscription, 0, world_.now);
  const auto left = world_.broker.disconnect(*first.session, first.attachment, {}, world_.now);
  world_.publish(message("a", "x"));
  const auto second = connect(9, left.kept);
  EXPECT_TRUE(second.session_present);
  EXPECT_EQ(second.session, first.session);
  EXPECT_EQ(second.session->load().queued, 1U);
}

TEST_F(Stored, AnOlderConnectionGetsNothing) {
  const auto newer = connect(9, std::nullopt);
  const auto older = connect(5, std::nullopt);
  EXPECT_EQ(older.session, nullptr);
  EXPECT_TRUE(older.superseded);
  EXPECT_TRUE(ends_.empty());
  EXPECT_TRUE(newer.session->attached());
}

TEST_F(Stored, ACleanStartRestoresNothing) {
  const auto connected = connect(9, stored(5), true);
  EXPECT_FALSE(connected.session_present);
  EXPECT_TRUE(world_.broker.snapshot(*connected.session)->subscriptions.empty());
}

TEST_F(Stored, WhatIsForgottenLeavesNothingAndDropsItsDelayedWill) {
  ConnectSpec spec;
  spec.client_id = "c";
  spec.session_expiry_s = 60;
  spec.epoch = 5;
  spec.will = message("w", "will");
  spec.will_delay_s = 30;
  const auto connected = world_.broker.connect(std::move(spec), world_.now);
  world_.broker.forget_detached("c", 9, world_.now);
  EXPECT_EQ(world_.broker.counts().sessions, 1U) << "it has a connection";
  static_cast<void>(world_.broker.disconnect(*connected.session, connected.attachment, {}, world_.now));
  world_.broker.forget_detached("c", 5, world_.now);
  EXPECT_EQ(world_.broker.counts().sessions, 1U) << "it is not older";
  world_.broker.forget_detached("c", 9, world_.now);
  EXPECT_EQ(world_.broker.counts().sessions, 0U);
  world_.pass(1h);
  EXPECT_TRUE(world_.wills.empty());
}

}  // namespace
}  // namespace millrace::mqtt::testing
