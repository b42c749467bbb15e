#include "read/bucket_fold.hpp"

#include <gtest/gtest.h>

namespace millrace::query_api {
namespace {

TEST(BucketFold, KeepsCountExtremesMeanFirstAndLastOfEachStretch) {
  BucketFold fold(10, 3);
  fold.add(4, 5);
  fold.add(5, -1);
  fold.add(12, 8);
  fold.add(13, 7);
  fold.add(55, 1);
  const auto buckets = fold.take();
  ASSERT_EQ(buckets.size(), 3U);
  EXPECT_EQ(buckets[0].time, 3);
  EXPECT_EQ(buckets[0].count, 3);
  EXPECT_EQ(buckets[0].min, -1);
  EXPECT_EQ(buckets[0].max, 8);
  EXPECT_EQ(buckets[0].mean, 4);
  EXPECT_EQ(buckets[0].first, 5);
  EXPECT_EQ(buckets[0].last, 8);
  EXPECT_EQ(buckets[0].first_time, 4);
  EXPECT_EQ(buckets[0].last_time, 12);
  EXPECT_EQ(buckets[1].time, 13);
  EXPECT_EQ(buckets[2].time, 53);
  EXPECT_EQ(buckets[2].mean, 1);
}

TEST(BucketFold, StartsBucketsAtMultiplesBeforeTheOriginToo) {
  EXPECT_EQ(bucket_start(-1, 10), -10);
  EXPECT_EQ(bucket_start(-10, 10), -10);
  EXPECT_EQ(bucket_start(9, 10), 0);
  EXPECT_EQ(bucket_start(12, 10, 3), 3);
}

TEST(BucketFold, MeanOfTheLargestAndTheSmallestDoubles) {
  BucketFold large(10, 0);
  for (TimeUs time = 0; time < 3; ++time) large.add(time, 1.7e308);
  EXPECT_DOUBLE_EQ(large.take().at(0).mean, 1.7e308);
  BucketFold small(10, 0);
  small.add(0, 5e-324);
  EXPECT_EQ(small.take().at(0).mean, 5e-324);
}

TEST(BucketFold, OfNothingIsEmpty) { EXPECT_TRUE(BucketFold(1, 0).take().empty()); }

}  // namespace
}  // namespace millrace::query_api
