#pragma once

#include <cstddef>
#include <vector>

#include "read/number.hpp"

namespace millrace::query_api {

/// Largest Triangle Three Buckets (Steinarsson 2013, "Downsampling Time Series for Visual Representation") over a
/// stream: cuts the inner numbers into buckets of equal counts and keeps of each the one that makes the largest
/// triangle with the one kept before and the mean of the next bucket; first and last are always kept. Pure; holds two
/// buckets.
class Lttb {
 public:
  /// Of `total` numbers `points` are kept: 3 <= points < total.
  Lttb(std::int64_t total, int points);

  /// In the order of time, `total` times; further ones are ignored.
  void add(const Number& number);
  [[nodiscard]] std::vector<Number> take();

 private:
  /// First index behind inner bucket `bucket`, from 0.
  [[nodiscard]] std::int64_t end_of(std::int64_t bucket) const;
  void choose();

  const std::int64_t total_;
  const std::int64_t inner_buckets_;
  std::int64_t seen_ = 0;
  std::int64_t bucket_ = 0;  // that `next_` belongs to
  std::vector<Number> current_;
  std::vector<Number> next_;
  std::vector<Number> kept_;
};

}  // namespace millrace::query_api
