#include "engine/partition_task.hpp"

#include <gtest/gtest.h>

#include "task_harness.hpp"

namespace millrace::stream {
namespace {

using test::kMinute;
using test::kNoon;
using test::point;

class PartitionTaskTest : public ::testing::Test {
 protected:
  void send(std::int32_t device, std::vector<telemetry::Point> points, TimeUs append) {
    telemetry::Batch batch = test::message(device, std::move(points));
    batch.ingest_time = append;
    send(batch, append);
  }
  void send(const telemetry::Batch& batch, TimeUs append) { task_.process(next_++, append, batch, &out_); }

  test::Collected out_;
  PartitionTask task_{3, 0, {}, test::book_of({})};
  std::int64_t next_ = 100;
};

TEST_F(PartitionTaskTest, AWindowClosesOneMinuteAfterItsEndByTheDevicesOwnTime) {
  send(1, {point("v", 1.0, kNoon)}, kNoon);
  send(1, {point("v", 3.0, kNoon + 59 * kUsPerSecond)}, kNoon);
  send(1, {point("v", 9.0, kNoon + 2 * kMinute - 1)}, kNoon);
  EXPECT_TRUE(out_.windows.empty());
  send(1, {point("v", 9.0, kNoon + 2 * kMinute)}, kNoon);
  ASSERT_EQ(out_.windows.size(), 1U);
  EXPECT_EQ(out_.windows[0].series, "t/d1/v");
  EXPECT_EQ(out_.windows[0].start, kNoon);
  EXPECT_EQ(out_.windows[0].figures.count, 2);
  EXPECT_EQ(out_.windows[0].figures.mean, 2.0);
}

TEST_F(PartitionTaskTest, OneDevicesClockDoesNotTouchAnother) {
  // A device that uploads an old year beside one that is at noon today: both get all of their windows.
  constexpr TimeUs kOld = kNoon - 365LL * 24 * 3600 * kUsPerSecond;
  for (int i = 0; i < 10; ++i) {
    send(1, {point("v", 1.0, kNoon + i * kMinute)}, kNoon + i * kMinute);
    send(2, {point("v", 2.0, kOld + i * kMinute)}, kNoon + i * kMinute);
  }
  std::size_t today = 0;
  std::size_t old = 0;
  for (const auto& result : out_.windows) (result.start >= kNoon ? today : old) += 1;
  EXPECT_EQ(today, 8U);
  EXPECT_EQ(old, 8U);
  EXPECT_TRUE(out_.lates.empty());
}

TEST_F(PartitionTaskTest, ASilentDevicesWindowClosesByLogTime) {
  send(1, {point("v", 1.0, kNoon)}, kNoon);
  send(2, {point("v", 1.0, kNoon)}, kNoon + 2 * kMinute - 1'000);
  EXPECT_TRUE(out_.windows.empty());
  send(2, {point("v", 1.0, kNoon + kUsPerSecond)}, kNoon + 2 * kMinute);
  ASSERT_EQ(out_.windows.size(), 1U);
  EXPECT_EQ(out_.windows[0].series, "t/d1/v");
  // What comes for it now is late.
  send(1, {point("v", 5.0, kNoon + 1)}, kNoon + 2 * kMinute);
  ASSERT_EQ(out_.lates.size(), 1U);
  EXPECT_EQ(out_.lates[0].windows, std::vector<TimeUs>{kNoon});
}

TEST_F(PartitionTaskTest, LateReadingsOfARecordAreNamedAndTheOthersCount) {
  send(1, {point("v", 1.0, kNoon + 10 * kMinute)}, kNoon + 10 * kMinute);
  const std::int64_t offset = next_;
  send(1, {point("v", 2.0, kNoon), point("v", 3.0, kNoon + 10 * kMinute + 1), point("w", 4.0, kNoon + kMinute)},
       kNoon + 10 * kMinute);
  ASSERT_EQ(out_.lates.size(), 1U);
  EXPECT_EQ(out_.lates[0], (test::Collected::Late{offset, {0, 2}, {kNoon, kNoon + kMinute}}));
  send(1, {point("v", 0.0, kNoon + 12 * kMinute)}, kNoon + 12 * kMinute);
  ASSERT_EQ(out_.windows.size(), 1U);
  EXPECT_EQ(out_.windows[0].figures.count, 2);
}

TEST_F(PartitionTaskTest, AnUnsortedBatchIsNotLateByItself) {
  std::vector<telemetry::Point> points;
  for (int i = 20; i >= 0; --i) points.push_back(point("v", 1.0, kNoon + i * kMinute));
  send(1, std::move(points), kNoon + 20 * kMinute);
  EXPECT_TRUE(out_.lates.empty());
  EXPECT_EQ(out_.windows.size(), 19U);
}

TEST_F(PartitionTaskTest, ATimeFarAheadIsNotBelieved) {
  send(1, {point("v", 1.0, kNoon)}, kNoon);
  send(1, {point("v", 2.0, kNoon + 30 * 24 * 60 * kMinute)}, kNoon + kUsPerSecond);
  EXPECT_TRUE(out_.windows.empty());
  EXPECT_EQ(task_.counts().future, 1U);
  // The device goes on as before, and the reading counts where the gateway took it in.
  send(1, {point("v", 3.0, kNoon + 2 * kMinute)}, kNoon + 2 * kUsPerSecond);
  ASSERT_EQ(out_.windows.size(), 1U);
  EXPECT_EQ(out_.windows[0].figures.count, 2);
}

TEST_F(PartitionTaskTest, CopiesDoNotCount) {
  telemetry::Batch first = test::message(1, {point("v", 1.0, std::nullopt)});
  first.delivery.publisher = "t/d1";
  first.delivery.message_id = "m1";
  first.delivery.payload_hash = 7;
  first.ingest_time = kNoon;
  telemetry::Batch again = first;
  again.ingest_id.counter += 1'000'000;
  again.ingest_time = kNoon + 5;
  send(first, kNoon);
  send(again, kNoon);
  send(first, kNoon);
  send(2, {point("v", 1.0, std::nullopt)}, kNoon + 3 * kMinute);
  ASSERT_EQ(out_.windows.size(), 1U);
  EXPECT_EQ(out_.windows[0].figures.count, 1);
  EXPECT_EQ(task_.counts().copies, 2U);
}

TEST_F(PartitionTaskTest, PointsOfADeadLetterDoNotCount) {
  telemetry::Batch replayed = test::message(1, {point("v", 1.0, kNoon)});
  replayed.replay = telemetry::Replay{"dead:0:1", "3:1"};
  replayed.ingest_time = kNoon;
  send(replayed, kNoon);
  send(1, {point("v", 2.0, kNoon)}, kNoon);
  send(1, {point("v", 3.0, kNoon + 2 * kMinute)}, kNoon);
  ASSERT_EQ(out_.windows.size(), 1U);
  EXPECT_EQ(out_.windows[0].figures.max, 2.0);
}

TEST_F(PartitionTaskTest, OnlyNumbersHaveWindows) {
  send(1, {point("s", std::string("on"), kNoon), point("b", true, kNoon), point("i", std::int64_t{4}, kNoon)}, kNoon);
  send(1, {point("i", std::int64_t{5}, kNoon + 2 * kMinute)}, kNoon);
  ASSERT_EQ(out_.windows.size(), 1U);
  EXPECT_EQ(out_.windows[0].series, "t/d1/i");
  EXPECT_EQ(out_.windows[0].figures.last, 4.0);
}

TEST_F(PartitionTaskTest, ATickClosesWhatAnIdlePartitionHolds) {
  send(1, {point("v", 1.0, kNoon)}, kNoon);
  EXPECT_FALSE(task_.wants_tick(next_, kNoon + 2 * kMinute - 1));
  ASSERT_TRUE(task_.wants_tick(next_, kNoon + 2 * kMinute));
  EXPECT_EQ(task_.replay_from(next_), next_ - 1);
  task_.tick({next_, kNoon + 2 * kMinute}, &out_);
  EXPECT_EQ(out_.windows.size(), 1U);
  EXPECT_EQ(task_.replay_from(next_), next_) << "nothing is open";
  EXPECT_FALSE(task_.wants_tick(next_, kNoon + 9 * kMinute)) << "nothing to close";
}

TEST_F(PartitionTaskTest, TimesBeforeTheEpochHaveWindowsToo) {
  send(1, {point("v", 1.0, -1), point("v", 2.0, -kMinute)}, kNoon);
  send(1, {point("v", 2.0, 2 * kMinute)}, kNoon);
  ASSERT_EQ(out_.windows.size(), 1U);
  EXPECT_EQ(out_.windows[0].start, -kMinute);
  EXPECT_EQ(out_.windows[0].figures.count, 2);
}

}  // namespace
}  // namespace millrace::stream
