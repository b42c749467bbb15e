#include "engine/window.hpp"

#include <cmath>
#include <limits>
#include <random>

#include <gtest/gtest.h>

namespace millrace::stream {
namespace {

TEST(Window, FiguresOfAFewReadings) {
  Window window;
  EXPECT_TRUE(window.add(10, true, 2.0));
  EXPECT_TRUE(window.add(30, true, -1.0));
  EXPECT_TRUE(window.add(20, true, 5.0));
  EXPECT_EQ(window.figures(),
            (Figures{.count = 3, .min = -1, .max = 5, .mean = 2, .last = -1, .last_time = 30, .approximate = false}));
}

TEST(Window, ATimeCountsOnceWithItsLastValue) {
  Window window;
  window.add(10, true, 1.0);
  window.add(20, true, 2.0);
  EXPECT_FALSE(window.add(10, true, 4.0));
  EXPECT_FALSE(window.add(20, true, 2.0));
  const Figures figures = window.figures();
  EXPECT_EQ(figures.count, 2);
  EXPECT_EQ(figures.mean, 3.0);
  EXPECT_EQ(figures.min, 2.0);
}

TEST(Window, UntimedReadingsAlwaysCount) {
  Window window;
  window.add(10, false, 1.0);
  window.add(10, false, 1.0);
  window.add(10, true, 7.0);
  window.add(10, false, 1.0);
  EXPECT_EQ(window.figures().count, 4);
  EXPECT_FALSE(window.add(10, true, 9.0));
  EXPECT_EQ(window.figures().max, 9.0);
}

TEST(Window, TheOrderOfArrivalDoesNotShow) {
  std::mt19937_64 random(7);
  std::vector<std::pair<TimeUs, double>> readings;
  for (int i = 0; i < 500; ++i) readings.emplace_back(i * 1'000, static_cast<double>(random() % 100'000) / 7.0);
  Window sorted;
  for (const auto& [time, value] : readings) sorted.add(time, true, value);
  for (int round = 0; round < 5; ++round) {
    std::shuffle(readings.begin(), readings.end(), random);
    Window shuffled;
    for (const auto& [time, value] : readings) shuffled.add(time, true, value);
    EXPECT_EQ(shuffled.figures(), sorted.figures());
  }
}

TEST(Window, AMeanNearTheEndOfTheRangeIsFinite) {
  constexpr double kMost = std::numeric_limits<double>::max();
  Window window;
  for (int i = 0; i < 10; ++i) window.add(i, true, i % 2 == 0 ? kMost : -kMost);
  const Figures figures = window.figures();
  EXPECT_TRUE(std::isfinite(figures.mean));
  EXPECT_LT(std::abs(figures.mean), kMost * 1e-9);
  Window same;
  for (int i = 0; i < 10; ++i) same.add(i, true, kMost);
  EXPECT_NEAR(same.figures().mean / kMost, 1.0, 1e-12);
}

TEST(Window, MoreReadingsThanAreKeptMakeItApproximate) {
  Window window;
  double sum = 0;
  for (std::size_t i = 0; i < Window::kMostReadings + 100; ++i) {
    window.add(static_cast<TimeUs>(i), true, static_cast<double>(i));
    sum += static_cast<double>(i);
    EXPECT_EQ(window.figures().approximate, i >= Window::kMostReadings) << i;
  }
  const Figures figures = window.figures();
  EXPECT_EQ(figures.count, static_cast<std::int64_t>(Window::kMostReadings + 100));
  EXPECT_NEAR(figures.mean, sum / static_cast<double>(figures.count), 1e-9);
  EXPECT_EQ(figures.last, static_cast<double>(Window::kMostReadings + 99));
  EXPECT_TRUE(window.add(5, true, 5.0)) << "can no longer be recognised";
}

}  // namespace
}  // namespace millrace::stream
