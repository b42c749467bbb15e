#include "read/group_fold.hpp"

#include <gtest/gtest.h>

namespace millrace::query_api {
namespace {

const std::vector<std::int32_t> kDevices{3, 7, 9};

TEST(GroupFold, MakesBucketsOfNumbersInAnyOrder) {
  GroupFold fold({0, 10, 20, 30}, kDevices);
  fold.add(9, 25, 4);
  fold.add(3, 8, 1);
  fold.add(7, 2, 5);
  fold.add(3, 5, -3);
  const auto buckets = fold.buckets();
  ASSERT_EQ(buckets.size(), 2U) << "the one without numbers is left out";
  EXPECT_EQ(buckets[0].start, 0);
  EXPECT_EQ(buckets[0].end, 10);
  EXPECT_EQ(buckets[0].count, 3);
  EXPECT_EQ(buckets[0].sum, 3);
  EXPECT_EQ(buckets[0].mean, 1);
  EXPECT_EQ(buckets[0].min, -3);
  EXPECT_EQ(buckets[0].max, 5);
  EXPECT_EQ(buckets[0].first, 5);
  EXPECT_EQ(buckets[0].first_time, 2);
  EXPECT_EQ(buckets[0].last, 1);
  EXPECT_EQ(buckets[0].last_time, 8);
  EXPECT_EQ(buckets[0].devices, 2);
  EXPECT_EQ(buckets[1].start, 20);
  EXPECT_EQ(buckets[1].devices, 1);
}

TEST(GroupFold, PassesOverOtherDevicesAndOtherTimes) {
  GroupFold fold({10, 20}, kDevices);
  fold.add(8, 15, 1);
  fold.add(3, 9, 1);
  fold.add(3, 20, 1);
  EXPECT_TRUE(fold.buckets().empty());
}

TEST(GroupFold, OfEqualTimesTheLeastKeyIsFirstAndTheGreatestLast) {
  GroupFold fold({0, 10}, kDevices);
  fold.add(7, 5, 70);
  fold.add(9, 5, 90);
  fold.add(3, 5, 30);
  const auto buckets = fold.buckets();
  ASSERT_EQ(buckets.size(), 1U);
  EXPECT_EQ(buckets[0].first, 30);
  EXPECT_EQ(buckets[0].last, 90);
  EXPECT_EQ(buckets[0].devices, 3);
}

TEST(GroupFold, SumsWhatNoDoubleHolds) {
  GroupFold fold({0, 10}, kDevices);
  fold.add(3, 1, 1.5e308);
  fold.add(3, 2, 1.5e308);
  const auto buckets = fold.buckets();
  ASSERT_EQ(buckets.size(), 1U);
  EXPECT_EQ(buckets[0].mean, 1.5e308);
}

TEST(RankFold, OrdersByTheFigureAndThenByKey) {
  RankFold fold(kDevices);
  fold.add(7, 2);
  fold.add(9, 1);
  fold.add(9, 3);
  fold.add(3, 2);
  fold.add(8, 100);
  const auto keys = [&](Measure measure, Rank rank, int n) {
    std::vector<std::int32_t> found;
    for (const Ranked& one : fold.best(measure, rank, n)) found.push_back(one.device_key);
    return found;
  };
  using Keys = std::vector<std::int32_t>;
  EXPECT_EQ(keys(Measure::kMean, Rank::kHighest, 10), (Keys{3, 7, 9}));
  EXPECT_EQ(keys(Measure::kMax, Rank::kHighest, 10), (Keys{9, 3, 7}));
  EXPECT_EQ(keys(Measure::kMin, Rank::kLowest, 2), (Keys{9, 3}));
  EXPECT_EQ(keys(Measure::kSum, Rank::kLowest, 1), (Keys{3}));
  const auto most = fold.best(Measure::kCount, Rank::kHighest, 1);
  ASSERT_EQ(most.size(), 1U);
  EXPECT_EQ(most[0].device_key, 9);
  EXPECT_EQ(most[0].value, 2);
  EXPECT_EQ(most[0].count, 2);
}

TEST(RankFold, LeavesOutDevicesWithoutNumbers) {
  RankFold fold(kDevices);
  fold.add(7, 0);
  EXPECT_EQ(fold.best(Measure::kMean, Rank::kHighest, 10).size(), 1U);
}

}  // namespace
}  // namespace millrace::query_api
