#include "delivery/tenant_queue.hpp"

#include <gtest/gtest.h>

namespace millrace::notifier {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class TenantQueueTest : public ::testing::Test {
 protected:
  static Event event(const std::string& key, std::int64_t offset, TimeUs time_us = 0) {
    Event one;
    one.alert_key = key;
    one.offset = offset;
    one.time_us = time_us;
    return one;
  }
  void push(const std::string& key, std::int64_t offset, TimeUs time_us = 0) {
    queue_.push(event(key, offset, time_us), now_);
  }
  // The offset of what start() gives, -1 for nothing.
  std::int64_t start() {
    const Event* started = queue_.start(now_);
    return started == nullptr ? -1 : started->offset;
  }
  std::int64_t finish(const std::string& key, Verdict verdict, std::optional<seconds> retry_after = {}) {
    const auto ended = queue_.finish(key, verdict, retry_after, false, now_);
    return ended ? ended->offset : -1;
  }

  QueueRules rules_{.concurrency = 2, .retry_first = milliseconds{1'000}, .retry_most = seconds{60}};
  TenantQueue queue_{rules_};
  Clock::time_point now_{seconds{1'000}};
};

TEST_F(TenantQueueTest, KeepsTheOrderOfAKey) {
  push("a", 1);
  push("a", 2);
  EXPECT_EQ(start(), 1);
  EXPECT_EQ(start(), -1);  // the clear waits for the raise, though a second request would be allowed
  EXPECT_EQ(finish("a", Verdict::kDelivered), 1);
  EXPECT_EQ(start(), 2);
}

TEST_F(TenantQueueTest, BoundsTheRequestsUnderWay) {
  push("a", 1);
  push("b", 2);
  push("c", 3);
  EXPECT_EQ(start(), 1);
  EXPECT_EQ(start(), 2);
  EXPECT_EQ(start(), -1);
  EXPECT_EQ(queue_.wake_at(), std::nullopt);
  EXPECT_EQ(finish("b", Verdict::kDelivered), 2);
  EXPECT_EQ(start(), 3);
  EXPECT_EQ(queue_.size(), 2U);
  EXPECT_EQ(queue_.in_flight(), 2U);
}

TEST_F(TenantQueueTest, AFailingEventHoldsUpItsOwnKeyOnly) {
  push("a", 1);
  push("a", 2);
  push("b", 3);
  EXPECT_EQ(start(), 1);
  EXPECT_EQ(finish("a", Verdict::kRetry), -1);
  EXPECT_EQ(start(), 3);
  EXPECT_EQ(finish("b", Verdict::kDelivered), 3);
  EXPECT_EQ(start(), -1);
  ASSERT_TRUE(queue_.wake_at().has_value());
  EXPECT_GE(*queue_.wake_at(), now_ + rules_.retry_first / 2);
  EXPECT_LE(*queue_.wake_at(), now_ + rules_.retry_first);
  now_ = *queue_.wake_at();
  EXPECT_EQ(start(), 1);
  EXPECT_EQ(finish("a", Verdict::kGiveUp), 1);
  EXPECT_EQ(start(), 2);
}

TEST_F(TenantQueueTest, WaitsLongerWithEachTryUpToTheLimit) {
  push("a", 1);
  milliseconds longest{0};
  for (int i = 0; i < 40; ++i) {
    ASSERT_EQ(start(), 1) << i;
    EXPECT_EQ(finish("a", Verdict::kRetry), -1);
    const auto wait = std::chrono::duration_cast<milliseconds>(*queue_.wake_at() - now_);
    EXPECT_LE(wait, rules_.retry_most);
    longest = std::max(longest, wait);
    now_ = *queue_.wake_at();
  }
  EXPECT_GT(longest, seconds{10});
}

TEST_F(TenantQueueTest, AReceiverThatIsDownGetsOneRequestAtATime) {
  push("a", 1);
  push("b", 2);
  push("c", 3);
  EXPECT_EQ(start(), 1);
  EXPECT_EQ(start(), 2);
  EXPECT_EQ(finish("a", Verdict::kReceiverDown), -1);
  EXPECT_TRUE(queue_.is_down());
  const auto pause = queue_.wake_at();
  EXPECT_EQ(pause, std::nullopt);  // the other one is still under way
  EXPECT_EQ(finish("b", Verdict::kReceiverDown), -1);
  ASSERT_TRUE(queue_.wake_at().has_value());
  EXPECT_LE(*queue_.wake_at(), now_ + rules_.retry_first);  // both failed by one fault: one pause
  EXPECT_EQ(start(), -1);
  now_ = *queue_.wake_at();
  EXPECT_EQ(start(), 3);  // who was not tried yet goes first: one bad event must not hold up all
  EXPECT_EQ(start(), -1);
  EXPECT_EQ(finish("c", Verdict::kDelivered), 3);
  EXPECT_FALSE(queue_.is_down());
  EXPECT_EQ(start(), 1);
  EXPECT_EQ(start(), 2);
}

TEST_F(TenantQueueTest, RetryAfterIsHonouredAndCut) {
  push("a", 1);
  EXPECT_EQ(start(), 1);
  EXPECT_EQ(finish("a", Verdict::kReceiverDown, seconds{120}), -1);
  EXPECT_EQ(*queue_.wake_at(), now_ + seconds{120});
  now_ = *queue_.wake_at();
  EXPECT_EQ(start(), 1);
  EXPECT_EQ(finish("a", Verdict::kReceiverDown, seconds{1'000'000}), -1);
  EXPECT_EQ(*queue_.wake_at(), now_ + rules_.retry_after_most);
}

TEST_F(TenantQueueTest, WhatFailsWhileOthersAreAnsweredWaitsAlone) {
  push("bad", 1);
  push("good", 2);
  EXPECT_EQ(start(), 1);
  EXPECT_EQ(start(), 2);
  EXPECT_EQ(finish("good", Verdict::kDelivered), 2);
  EXPECT_EQ(finish("bad", Verdict::kReceiverDown), -1);
  push("next", 3);
  now_ += rules_.retry_first;
  EXPECT_EQ(start(), 3);
}

TEST_F(TenantQueueTest, AnotherReceiverIsTriedAtOnce) {
  push("a", 1);
  EXPECT_EQ(start(), 1);
  EXPECT_EQ(finish("a", Verdict::kReceiverDown, seconds{3'000}), -1);
  queue_.receiver_changed(now_);
  EXPECT_EQ(start(), 1);
}

TEST_F(TenantQueueTest, AnOldEventIsTriedOnceUnlessTheReceiverIsDown) {
  const TimeUs late = 2 * std::chrono::duration_cast<std::chrono::microseconds>(rules_.max_age).count();
  push("a", 1);
  push("b", 2, late);
  EXPECT_FALSE(queue_.take_expired(now_, late).has_value());
  EXPECT_EQ(start(), 1);
  EXPECT_EQ(finish("a", Verdict::kReceiverDown), -1);
  push("c", 3);
  EXPECT_FALSE(queue_.take_expired(now_, late).has_value());  // it pauses
  now_ = *queue_.wake_at();
  EXPECT_FALSE(queue_.take_expired(now_, late).has_value());  // the one that is next is young
  EXPECT_EQ(start(), 2);
  EXPECT_EQ(finish("b", Verdict::kReceiverDown), -1);
  now_ = *queue_.wake_at();
  EXPECT_EQ(queue_.take_expired(now_, late)->offset, 3);
  EXPECT_EQ(queue_.take_expired(now_, late)->offset, 1);
  EXPECT_FALSE(queue_.take_expired(now_, late).has_value());
  EXPECT_EQ(start(), 2);
}

TEST_F(TenantQueueTest, DropsAPartitionButNotWhatIsUnderWay) {
  push("a", 1);
  push("a", 2);
  push("b", 3);
  Event other = event("c", 4);
  other.partition = 1;
  queue_.push(other, now_);
  EXPECT_EQ(start(), 1);
  queue_.drop_partition(0);
  EXPECT_EQ(queue_.size(), 2U);
  EXPECT_EQ(start(), 4);
  EXPECT_EQ(finish("a", Verdict::kDelivered), 1);
  EXPECT_EQ(start(), -1);
}

}  // namespace
}  // namespace millrace::notifier
