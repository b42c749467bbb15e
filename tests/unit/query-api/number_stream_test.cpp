#include "read/number_stream.hpp"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

namespace millrace::query_api {
namespace {

using storage_schema::PackedNumber;

TEST(NumberMerge, LateRowsComeBetweenTheNumbersOfTheirSegment) {
  std::vector<TimeUs> times;
  std::vector<bool> untimed;
  NumberMerge merge(15, 45, [&](const Number& number) {
    times.push_back(number.time);
    untimed.push_back(number.untimed);
    EXPECT_EQ(number.value, static_cast<double>(number.time) / 2);
  });
  std::vector<PackedNumber> segment{{10, 5, false}, {20, 10, true}, {30, 15, false}, {40, 20, false}, {50, 25, false}};
  merge.add(segment);
  merge.add({.time = 25, .value = 12.5});
  merge.add({.time = 26, .value = 13, .untimed = true});
  merge.finish();
  EXPECT_EQ(times, (std::vector<TimeUs>{20, 25, 26, 30, 40}));
  EXPECT_EQ(untimed, (std::vector<bool>{true, false, true, false, false}));
}

TEST(NumberMerge, IntegersOfRowsStayWhole) {
  std::vector<Number> all;
  NumberMerge merge(0, 10, [&](const Number& number) { all.push_back(number); });
  merge.add({.time = 1, .value = 9e15, .whole = 9'007'199'254'740'993, .is_whole = true});
  merge.finish();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_TRUE(all[0].is_whole);
  EXPECT_EQ(all[0].whole, 9'007'199'254'740'993);
}

// Whatever overlaps what: as if everything had been sorted.
TEST(NumberMerge, IsASort) {
  std::mt19937 random(20);
  for (int round = 0; round < 500; ++round) {
    std::vector<TimeUs> times(random() % 200);
    for (std::size_t i = 0; i < times.size(); ++i) times[i] = static_cast<TimeUs>(i);
    std::shuffle(times.begin(), times.end(), random);
    struct Entry {
      TimeUs start = 0;
      std::vector<PackedNumber> numbers;  // empty: a row
    };
    std::vector<Entry> entries;
    for (std::size_t i = 0; i < times.size();) {
      const std::size_t count = std::min<std::size_t>(times.size() - i, random() % 8);
      Entry entry{times[i], {}};
      for (std::size_t k = 0; k < count; ++k) entry.numbers.push_back({times[i + k], 0, false});
      std::sort(entry.numbers.begin(), entry.numbers.end(),
                [](const PackedNumber& a, const PackedNumber& b) { return a.time < b.time; });
      if (count > 0) entry.start = entry.numbers.front().time;
      entries.push_back(std::move(entry));
      i += std::max<std::size_t>(count, 1);
    }
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.start < b.start; });
    std::vector<TimeUs> given;
    const auto size = static_cast<TimeUs>(times.size());
    NumberMerge merge(0, size, [&](const Number& number) { given.push_back(number.time); });
    for (Entry& entry : entries) {
      if (entry.numbers.empty()) {
        merge.add({.time = entry.start});
      } else {
        merge.add(entry.numbers);
      }
    }
    merge.finish();
    std::sort(times.begin(), times.end());
    ASSERT_EQ(given, times) << "round " << round;
  }
}

}  // namespace
}  // namespace millrace::query_api
