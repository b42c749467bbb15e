#include "tail/tail_reader.hpp"

#include <gtest/gtest.h>

namespace millrace::query_api {
namespace {

TailReading reading(std::int64_t value) { return {"meter-1", "power", value, value, "3:1"}; }

TEST(TailReader, CountsWhatASlowReaderMissesAndTellsItOnce) {
  TailReader reader({.tenant = "acme", .devices = {}, .metrics = {}}, 3, 1 << 20);
  for (int i = 0; i < 10; ++i) reader.offer(reading(i));
  auto first = reader.take(2);
  ASSERT_EQ(first.readings.size(), 2U);
  EXPECT_EQ(first.missed, 0) << "the gap is behind what is still queued";
  auto second = reader.take(10);
  ASSERT_EQ(second.readings.size(), 1U);
  EXPECT_EQ(second.readings[0].time, 2);
  EXPECT_EQ(second.missed, 7);
  EXPECT_EQ(reader.take(10).missed, 0);
}

TEST(TailReader, BoundsTheBytesToo) {
  TailReader reader({.tenant = "acme", .devices = {}, .metrics = {}}, 1'000, 10'000);
  for (int i = 0; i < 10; ++i) {
    TailReading large = reading(i);
    large.value = std::string(4'000, 'x');
    reader.offer(std::move(large));
  }
  const auto taken = reader.take(100);
  EXPECT_EQ(taken.readings.size(), 2U);
  EXPECT_EQ(taken.missed, 8);
}

TEST(TailReader, WakesOnceForEachTimeItWasFoundEmpty) {
  TailReader reader({.tenant = "acme", .devices = {}, .metrics = {}}, 10, 1 << 20);
  int wakes = 0;
  reader.on_wake([&] { ++wakes; });
  reader.set_live();
  EXPECT_EQ(wakes, 1);
  EXPECT_TRUE(reader.take(10).live);
  reader.offer(reading(1));
  reader.offer(reading(2));
  EXPECT_EQ(wakes, 2);
  EXPECT_EQ(reader.take(10).readings.size(), 2U);
  EXPECT_TRUE(reader.take(10).readings.empty());
  reader.offer(reading(3));
  EXPECT_EQ(wakes, 3);
  reader.close();
  static_cast<void>(reader.take(10));
  static_cast<void>(reader.take(10));
  reader.offer(reading(4));
  EXPECT_EQ(wakes, 3);
}

TEST(TailFilter, WithoutNamesWantsEveryMetric) {
  const TailFilter all{.tenant = "acme", .devices = {}, .metrics = {}};
  EXPECT_TRUE(all.wants_metric("b"));
  const TailFilter some{.tenant = "acme", .devices = {}, .metrics = {"b"}};
  EXPECT_TRUE(some.wants_metric("b"));
  EXPECT_FALSE(some.wants_metric("a"));
}

}  // namespace
}  // namespace millrace::query_api
