#include <gtest/gtest.h>

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

Seen page_of(SamplePage hot_page, ColdRows cold_rows, const Window& window) {
  const auto page = one_page(hot_page, cold_rows, kSeries, window);
  EXPECT_TRUE(page.ok());
  Seen seen;
  for (const Sample& sample : page->samples) seen.times.push_back(sample.time);
  seen.next = page->next_from;
  return seen;
}

using Times = std::vector<TimeUs>;

TEST(OnePage, HoldsBothInOrderAndSaysThatItIsTheLast) {
  const Seen seen = page_of({{hot(2, 2), hot(9, 9)}, {}}, {{cold(1, 1), cold(2, 20), cold(5, 5)}, 10}, {0, 10, 100});
  EXPECT_EQ(seen.times, (Times{1, 2, 5, 9}));
  EXPECT_EQ(seen.next, std::nullopt);
}

TEST(OnePage, TheHotRowOfATimeCounts) {
  const auto page = one_page({{hot(2, 2)}, {}}, {{cold(2, 20)}, 10}, kSeries, {0, 10, 100});
  ASSERT_TRUE(page.ok());
  ASSERT_EQ(page->samples.size(), 1U);
  EXPECT_EQ(page->samples[0].value, telemetry::Value{2.0});
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

}  // namespace
}  // namespace millrace::query_api
