#include <gtest/gtest.h>

#include "read/look_back.hpp"
#include "read/tiered_reader.hpp"

namespace millrace::query_api {
namespace {

constexpr Series kSeries{1, 1, storage_schema::MetricType::kDouble};

Sample hot(TimeUs time, double value) { return {time, telemetry::Value{value}, false}; }
archive::OwnedRow cold(TimeUs time, double value) { return archive::OwnedRow({{1, 1, time}, 0, false, value, ""}); }

struct Seen {
  std::vector<TimeUs> times;
  std::optional<TimeUs> next;
};

Seen page_of(const SamplePage& hot_page, const ColdRows& cold_rows, const Window& window) {
  OnePage whole(kSeries, window);
  EXPECT_TRUE(whole.add(hot_page, cold_rows).ok());
  EXPECT_TRUE(whole.done());
  const SamplePage page = whole.take();
  Seen seen;
  for (const Sample& sample : page.samples) seen.times.push_back(sample.time);
  seen.next = page.next_from;
  return seen;
}

using Times = std::vector<TimeUs>;

TEST(OnePage, HoldsBothInOrderAndSaysThatItIsTheLast) {
  const Seen seen = page_of({{hot(2, 2), hot(9, 9)}, {}}, {{cold(1, 1), cold(2, 20), cold(5, 5)}, 10}, {0, 10, 100});
  EXPECT_EQ(seen.times, (Times{1, 2, 5, 9}));
  EXPECT_EQ(seen.next, std::nullopt);
}

TEST(OnePage, TheHotRowOfATimeCounts) {
  OnePage whole(kSeries, {0, 10, 100});
  ASSERT_TRUE(whole.add({{hot(2, 2)}, {}}, {{cold(2, 20)}, 10}).ok());
  const SamplePage page = whole.take();
  ASSERT_EQ(page.samples.size(), 1U);
  EXPECT_EQ(page.samples[0].value, telemetry::Value{2.0});
}

TEST(OnePage, EndsWhereEitherPartWasCut) {
  EXPECT_EQ(page_of({{hot(2, 2), hot(4, 4)}, 5}, {{cold(1, 1), cold(7, 7)}, 10}, {0, 10, 100}).times, (Times{1, 2, 4}));
  EXPECT_EQ(page_of({{hot(2, 2), hot(4, 4)}, 5}, {{cold(1, 1), cold(7, 7)}, 10}, {0, 10, 100}).next, 5);
  EXPECT_EQ(page_of({{hot(2, 2), hot(9, 9)}, {}}, {{cold(1, 1), cold(3, 3)}, 4}, {0, 10, 100}).times, (Times{1, 2, 3}));
  EXPECT_EQ(page_of({{hot(2, 2), hot(9, 9)}, {}}, {{cold(1, 1), cold(3, 3)}, 4}, {0, 10, 100}).next, 4);
  EXPECT_EQ(page_of({{hot(8, 8)}, {}}, {{}, 4}, {0, 10, 100}).next, 4) << "an empty page may have a next one";
}

TEST(OnePage, HoldsNoMoreRowsThanAskedFor) {
  const Seen seen = page_of({{hot(2, 2), hot(4, 4)}, {}}, {{cold(1, 1), cold(3, 3)}, 10}, {0, 10, 3});
  EXPECT_EQ(seen.times, (Times{1, 2, 3}));
  EXPECT_EQ(seen.next, 4);
}

TEST(OnePage, WhatHadToMakeRoomComesOnTheNextPage) {
  const SamplePage stamped{{{5, telemetry::Value{50.0}, true}}, {}};
  const ColdRows archived{{archive::OwnedRow({{1, 1, 5}, 0, true, 5, ""})}, 10};
  OnePage first(kSeries, {0, 10, 1});
  ASSERT_TRUE(first.add(stamped, archived).ok());
  ASSERT_TRUE(first.done());
  const SamplePage page = first.take();
  ASSERT_EQ(page.samples.size(), 1U);
  EXPECT_EQ(page.samples[0].value, telemetry::Value{5.0});
  EXPECT_EQ(page.next_from, 6);
  EXPECT_EQ(page.since, 5);
  // In two parts, the first of which ends before the page begins.
  OnePage second(kSeries, {6, 10, 1, 5});
  ASSERT_TRUE(second.add({stamped.samples, 6}, {archived.rows, 6}).ok());
  EXPECT_FALSE(second.done());
  ASSERT_TRUE(second.add({}, {{}, 10}).ok());
  ASSERT_TRUE(second.done());
  const SamplePage rest = second.take();
  ASSERT_EQ(rest.samples.size(), 1U);
  EXPECT_EQ(rest.samples[0].time, 6);
  EXPECT_EQ(rest.samples[0].value, telemetry::Value{50.0});
  EXPECT_EQ(rest.next_from, std::nullopt);
}

TEST(OnePage, AReadBeginsBeforeItsFirstTimeButNotInAnotherDay) {
  constexpr TimeUs kDay = 86'400 * kUsPerSecond;
  EXPECT_EQ(look_back(5 * kDay + 3'000), 5 * kDay + 2'000);
  EXPECT_EQ(look_back(5 * kDay + 7), 5 * kDay);
  EXPECT_EQ(look_back(5 * kDay), 5 * kDay);
  EXPECT_EQ(look_back(-5 * kDay), -5 * kDay);
  EXPECT_EQ(look_back(-5 * kDay - 7), -5 * kDay - 1'007);
}

}  // namespace
}  // namespace millrace::query_api
