#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <millrace/base/token_bucket.hpp>

namespace millrace {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const TokenBucket::Clock::time_point kStart{seconds{1000}};
constexpr TokenRate kRate{10, 5};  // one each 100 ms, five at once

TEST(TokenBucket, GivesTheBurstAtOnceAndThenTheRate) {
  TokenBucket bucket;
  for (int i = 0; i < 5; ++i) EXPECT_EQ(bucket.take(kRate, 1, kStart).count(), 0) << i;
  EXPECT_EQ(bucket.take(kRate, 1, kStart), milliseconds{100});
  EXPECT_EQ(bucket.take(kRate, 1, kStart + milliseconds{99}), milliseconds{1});
  EXPECT_EQ(bucket.take(kRate, 1, kStart + milliseconds{100}).count(), 0);
  EXPECT_EQ(bucket.take(kRate, 2, kStart + milliseconds{100}), milliseconds{200});
}

TEST(TokenBucket, NeverHoldsMoreThanTheBurst) {
  TokenBucket bucket;
  int taken = 0;
  while (bucket.take(kRate, 1, kStart + seconds{3600}).count() == 0) ++taken;
  EXPECT_EQ(taken, 5);
}

TEST(TokenBucket, WhatIsDearerThanTheBurstIsPaidForAfterwards) {
  TokenBucket bucket;
  EXPECT_EQ(bucket.take(kRate, 25, kStart).count(), 0);
  EXPECT_DOUBLE_EQ(bucket.left(kRate, kStart), -20);
  EXPECT_EQ(bucket.take(kRate, 1, kStart), milliseconds{2100});
  EXPECT_EQ(bucket.wait_for(kRate, 25, kStart), milliseconds{2500});
}

TEST(TokenBucket, TakesBackWhatWasNotUsed) {
  TokenBucket bucket;
  EXPECT_EQ(bucket.take(kRate, 5, kStart).count(), 0);
  bucket.give_back(kRate, 2);
  EXPECT_DOUBLE_EQ(bucket.left(kRate, kStart), 2);
  EXPECT_FALSE(bucket.full(kStart));
  EXPECT_TRUE(bucket.full(kStart + milliseconds{300}));
}

TEST(TokenBucket, ARateThatChangesKeepsTheTimeItTakesToFill) {
  TokenBucket bucket;
  EXPECT_EQ(bucket.take(kRate, 5, kStart).count(), 0);  // full again in 500 ms
  EXPECT_DOUBLE_EQ(bucket.left({100, 100}, kStart), 50);
}

TEST(TokenBucket, IsExactUnderManyThreads) {
  TokenBucket bucket;
  constexpr TokenRate kMany{1000, 10'000};
  std::atomic<int> taken{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 10'000; ++n) {
        if (bucket.take(kMany, 1, kStart).count() == 0) taken.fetch_add(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken.load(), 10'000);
}

}  // namespace
}  // namespace millrace
