#include "read/bucket_fold.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace millrace::query_api {

TimeUs bucket_start(TimeUs time, std::int64_t step_us, TimeUs origin) {
  const std::int64_t rest = (time - origin) % step_us;
  return time - (rest < 0 ? rest + step_us : rest);
}

void BucketFold::add(TimeUs time, double value) {
  if (buckets_.empty() || time >= end_) {
    close();
    const TimeUs start = bucket_start(time, step_us_, origin_);
    if (__builtin_add_overflow(start, step_us_, &end_)) end_ = std::numeric_limits<TimeUs>::max();
    buckets_.push_back({.time = start, .min = value, .max = value, .first = value, .first_time = time});
  }
  Bucket& bucket = buckets_.back();
  ++bucket.count;
  bucket.min = std::min(bucket.min, value);
  bucket.max = std::max(bucket.max, value);
  bucket.last = value;
  bucket.last_time = time;
  sum_ += value;
}

void BucketFold::close() {
  if (buckets_.empty()) return;
  Bucket& bucket = buckets_.back();
  bucket.mean = static_cast<double>(sum_ / static_cast<long double>(bucket.count));
  sum_ = 0;
}

std::vector<Bucket> BucketFold::take() {
  close();
  return std::exchange(buckets_, {});
}

}  // namespace millrace::query_api
