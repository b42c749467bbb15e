#include "read/lttb.hpp"

#include <cmath>
#include <utility>

namespace millrace::query_api {

Lttb::Lttb(std::int64_t total, int points) : total_(total), inner_buckets_(points - 2) {
  kept_.reserve(static_cast<std::size_t>(points));
}

std::int64_t Lttb::end_of(std::int64_t bucket) const { return (bucket + 1) * (total_ - 2) / inner_buckets_ + 1; }

void Lttb::add(const Number& number) {
  if (seen_ >= total_) return;
  const std::int64_t index = seen_++;
  if (index == 0) {
    kept_.push_back(number);
    return;
  }
  if (bucket_ < inner_buckets_ && index >= end_of(bucket_)) {
    choose();
    ++bucket_;
  }
  next_.push_back(number);
  if (index == total_ - 1) {
    choose();
    kept_.push_back(number);
  }
}

/// Keeps one of current_, now that the mean of next_ is known, and moves on.
void Lttb::choose() {
  if (!current_.empty()) {
    // Times relative to the number kept before: microseconds since the epoch would take the digits of the triangle.
    const Number& before = kept_.back();
    const auto x = [&](const Number& number) { return static_cast<double>(number.time - before.time); };
    double mean_x = 0;
    double mean_y = 0;
    for (const Number& number : next_) {
      mean_x += x(number) / static_cast<double>(next_.size());
      mean_y += number.value / static_cast<double>(next_.size());
    }
    const Number* best = &current_.front();
    double largest = -1;
    for (const Number& number : current_) {
      const double area = std::fabs(mean_x * (number.value - before.value) - x(number) * (mean_y - before.value));
      if (area <= largest || std::isnan(area)) continue;
      largest = area;
      best = &number;
    }
    kept_.push_back(*best);
  }
  current_ = std::exchange(next_, {});
}

std::vector<Number> Lttb::take() { return std::exchange(kept_, {}); }

}  // namespace millrace::query_api
