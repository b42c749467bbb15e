#include "ingest/ack_tally.hpp"

#include <gtest/gtest.h>

namespace millrace::gateway {
namespace {

constexpr TimeUs kHour = 3'600 * kUsPerSecond;
constexpr TimeUs kNoon = 500'000 * kHour;

std::vector<AckTally::Hour> changed(AckTally& tally) {
  std::vector<AckTally::Hour> hours;
  tally.take_changed(hours);
  return hours;
}

TEST(AckTally, GivesWholeHoursAndOnlyThoseThatHaveGrown) {
  AckTally tally;
  EXPECT_TRUE(changed(tally).empty());
  tally.add(kNoon, 0, 7);
  tally.add(kNoon + kHour - 1, 0, 9);
  tally.add(kNoon + kHour, 0, 10);
  tally.add(kNoon + 1, 0, 8);  // a report that came late
  auto hours = changed(tally);
  ASSERT_EQ(hours.size(), 2U);
  EXPECT_EQ(hours[0].hour, kNoon);
  EXPECT_EQ(hours[0].records, 3);
  EXPECT_EQ(hours[0].highest_offset, 9);
  EXPECT_EQ(hours[1].hour, kNoon + kHour);
  EXPECT_EQ(hours[1].records, 1);
  EXPECT_TRUE(changed(tally).empty());
  tally.add(kNoon + 2, 0, 3);
  hours = changed(tally);
  ASSERT_EQ(hours.size(), 1U);
  EXPECT_EQ(hours[0].records, 4) << "with what was given before: the newest of a key holds";
  EXPECT_EQ(hours[0].highest_offset, 9);
}

TEST(AckTally, KeepsGenerationsOfTheLogApart) {
  AckTally tally;
  tally.add(kNoon, 0, 7);
  tally.add(kNoon, 1, 2);
  const auto hours = changed(tally);
  ASSERT_EQ(hours.size(), 2U);
  EXPECT_EQ(hours[1].generation, 1);
  EXPECT_EQ(hours[1].highest_offset, 2);
}

TEST(AckTally, ForgetsHoursThatAreLongOver) {
  AckTally tally;
  for (int hour = 0; hour < 100; ++hour) {
    tally.add(kNoon + hour * kHour, 0, hour);
    EXPECT_EQ(changed(tally).size(), 1U) << hour;
  }
  tally.add(kNoon + 99 * kHour, 0, 200);
  EXPECT_EQ(changed(tally).at(0).records, 2);
}

}  // namespace
}  // namespace millrace::gateway
