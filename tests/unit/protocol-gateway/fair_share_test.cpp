#include "limits/fair_share.hpp"

#include <array>
#include <vector>

#include <gtest/gtest.h>

namespace millrace::gateway {
namespace {

std::vector<double> shares(const std::vector<double>& asked, double capacity) {
  std::vector<double> all;
  for (std::size_t i = 0; i < asked.size(); ++i) {
    std::vector<double> others = asked;
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(i));
    all.push_back(fair_share(asked[i], others, capacity));
  }
  return all;
}

double sum(const std::vector<double>& all) {
  double total = 0;
  for (const double one : all) total += one;
  return total;
}

TEST(FairShare, AloneItIsAll) { EXPECT_DOUBLE_EQ(fair_share(5, {}, 100), 1); }

TEST(FairShare, TheySumUpToOneWhateverIsAsked) {
  for (const auto& asked : std::vector<std::vector<double>>{
           {0, 0}, {1000, 0}, {1000, 1000}, {1000, 50, 3}, {10, 20, 30}, {500, 500, 500, 1}, {0, 0, 99}}) {
    EXPECT_NEAR(sum(shares(asked, 100)), 1, 1e-9);
  }
}

TEST(FairShare, NobodyGetsMoreThanAskedWhileAnotherWants) {
  const auto all = shares({1000, 20, 1000}, 100);
  EXPECT_NEAR(all[1], 0.2, 1e-9);
  EXPECT_NEAR(all[0], 0.4, 1e-9);
  EXPECT_NEAR(all[2], 0.4, 1e-9);
}

TEST(FairShare, WhoWasAskedForNothingKeepsATenthOfAnEvenPart) {
  const auto all = shares({1000, 0}, 100);
  EXPECT_NEAR(all[1], 0.05, 1e-9);
  EXPECT_NEAR(all[0], 0.95, 1e-9);
}

TEST(FairShare, WhatNobodyAskedForIsSharedOutEvenly) {
  const auto all = shares({40, 20}, 100);
  EXPECT_NEAR(all[0], 0.6, 1e-9);
  EXPECT_NEAR(all[1], 0.4, 1e-9);
}

}  // namespace
}  // namespace millrace::gateway
