#include "read/lttb.hpp"

#include <algorithm>
#include <cmath>
#include <random>

#include <gtest/gtest.h>

namespace millrace::query_api {
namespace {

std::vector<Number> chosen(const std::vector<Number>& all, int points) {
  Lttb lttb(static_cast<std::int64_t>(all.size()), points);
  for (const Number& number : all) lttb.add(number);
  return lttb.take();
}

/// As the paper's listing: over the whole array, by indexes.
std::vector<Number> by_the_paper(const std::vector<Number>& all, int points) {
  const auto n = static_cast<std::int64_t>(all.size());
  const auto edge = [&](std::int64_t bucket) { return bucket * (n - 2) / (points - 2) + 1; };
  const auto at = [&](std::int64_t index) { return all[static_cast<std::size_t>(index)]; };
  std::vector<Number> kept{at(0)};
  for (std::int64_t bucket = 0; bucket < points - 2; ++bucket) {
    const std::int64_t next_begin = edge(bucket + 1);
    const std::int64_t next_end = bucket == points - 3 ? n : edge(bucket + 2);
    // Times relative to the number kept before, so that equal triangles are equal here too.
    const Number before = kept.back();
    double x = 0;
    double y = 0;
    for (std::int64_t i = next_begin; i < next_end; ++i) {
      x += static_cast<double>(at(i).time - before.time) / static_cast<double>(next_end - next_begin);
      y += at(i).value / static_cast<double>(next_end - next_begin);
    }
    double largest = -1;
    Number best;
    for (std::int64_t i = edge(bucket); i < next_begin; ++i) {
      const double area = std::fabs(x * (at(i).value - before.value) -
                                    static_cast<double>(at(i).time - before.time) * (y - before.value));
      if (area <= largest) continue;
      largest = area;
      best = at(i);
    }
    kept.push_back(best);
  }
  kept.push_back(at(n - 1));
  return kept;
}

TEST(Lttb, KeepsWhatThePaperKeeps) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    const int total = std::uniform_int_distribution(4, 300)(random);
    const int points = std::uniform_int_distribution(3, total - 1)(random);
    std::vector<Number> all;
    TimeUs time = 0;
    for (int i = 0; i < total; ++i) {
      time += std::uniform_int_distribution(1, 50)(random);
      all.push_back({.time = time, .value = static_cast<double>(std::uniform_int_distribution(-9, 9)(random))});
    }
    const auto kept = chosen(all, points);
    const auto wanted = by_the_paper(all, points);
    ASSERT_EQ(kept.size(), static_cast<std::size_t>(points));
    for (std::size_t i = 0; i < kept.size(); ++i) {
      ASSERT_EQ(kept[i].time, wanted[i].time) << total << " numbers, " << points << " points, at " << i;
    }
  }
}

TEST(Lttb, KeepsASpike) {
  std::vector<Number> all;
  for (TimeUs time = 0; time < 1'000; ++time) all.push_back({.time = time, .value = time == 617 ? 50.0 : 1.0});
  const auto kept = chosen(all, 10);
  EXPECT_TRUE(std::any_of(kept.begin(), kept.end(), [](const Number& number) { return number.time == 617; }));
}

TEST(Lttb, GivesTheAskedNumberForValuesThatNoTriangleCanHold) {
  std::vector<Number> all;
  for (TimeUs time = 0; time < 100; ++time) all.push_back({.time = time, .value = time % 2 == 0 ? 1.7e308 : -1.7e308});
  EXPECT_EQ(chosen(all, 7).size(), 7U);
}

}  // namespace
}  // namespace millrace::query_api
