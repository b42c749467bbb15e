#pragma once

#include <vector>

#include "read/number.hpp"

namespace millrace::query_api {

/// Start of the bucket that holds `time`; buckets start at `origin` and all multiples of `step_us` from it.
[[nodiscard]] TimeUs bucket_start(TimeUs time, std::int64_t step_us, TimeUs origin = 0);

/// Makes buckets of numbers that come in the order of their times. Pure; memory of the buckets only.
class BucketFold {
 public:
  BucketFold(std::int64_t step_us, TimeUs origin) : step_us_(step_us), origin_(origin) {}

  void add(TimeUs time, double value);
  /// All of them, in order; those without numbers are left out.
  [[nodiscard]] std::vector<Bucket> take();

 private:
  void close();

  const std::int64_t step_us_;
  const TimeUs origin_;
  std::vector<Bucket> buckets_;
  // Of the last bucket. The wider type holds the sum of any number of doubles.
  long double sum_ = 0;
  TimeUs end_ = 0;
};

}  // namespace millrace::query_api
