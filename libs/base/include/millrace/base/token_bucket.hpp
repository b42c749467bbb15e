#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

namespace millrace {

/// So many tokens come back a second, and so many may be taken at once after a pause. Both more than 0.
struct TokenRate {
  double per_second = 0;
  double burst = 0;
};

/// A token bucket in one atomic: the time at which it will be full again. Whoever takes says the rate, so that a rate
/// that changes needs no change here. Begins full. Exact under any number of threads, without locks.
class TokenBucket {
 public:
  using Clock = std::chrono::steady_clock;
  using Nanoseconds = std::chrono::nanoseconds;

  /// Zero: taken. Else nothing was, and that is how long the tokens take to come. More tokens than the burst are taken
  /// from a full bucket, which then owes the rest: otherwise they could never be.
  [[nodiscard]] Nanoseconds take(const TokenRate& rate, double tokens, Clock::time_point now) {
    const std::int64_t at = now.time_since_epoch().count();
    const std::int64_t cost = nanoseconds(rate, tokens);
    const std::int64_t depth = nanoseconds(rate, rate.burst);
    std::int64_t full = full_at_.load(std::memory_order_relaxed);
    for (;;) {
      const std::int64_t from = std::max(full, at);
      const std::int64_t wait = from + std::min(cost, depth) - depth - at;
      if (wait > 0) return Nanoseconds{wait};
      if (full_at_.compare_exchange_weak(full, from + cost, std::memory_order_relaxed)) return Nanoseconds{0};
    }
  }

  /// How long until `tokens` could be taken; takes nothing.
  [[nodiscard]] Nanoseconds wait_for(const TokenRate& rate, double tokens, Clock::time_point now) const {
    const std::int64_t at = now.time_since_epoch().count();
    const std::int64_t depth = nanoseconds(rate, rate.burst);
    const std::int64_t from = std::max(full_at_.load(std::memory_order_relaxed), at);
    return Nanoseconds{std::max<std::int64_t>(0, from + std::min(nanoseconds(rate, tokens), depth) - depth - at)};
  }

  /// Undoes a take() of the same rate and tokens.
  void give_back(const TokenRate& rate, double tokens) {
    full_at_.fetch_sub(nanoseconds(rate, tokens), std::memory_order_relaxed);
  }

  /// Below zero: owed.
  [[nodiscard]] double left(const TokenRate& rate, Clock::time_point now) const {
    const std::int64_t missing =
        std::max<std::int64_t>(0, full_at_.load(std::memory_order_relaxed) - now.time_since_epoch().count());
    return rate.burst - static_cast<double>(missing) * rate.per_second / kPerSecond;
  }

  [[nodiscard]] bool full(Clock::time_point now) const {
    return full_at_.load(std::memory_order_relaxed) <= now.time_since_epoch().count();
  }

 private:
  static_assert(Clock::period::num == 1 && Clock::period::den == 1'000'000'000);
  static constexpr double kPerSecond = 1e9;
  static constexpr double kLongest = 1e17;  // three years: sums of two stay far from the end of int64

  static std::int64_t nanoseconds(const TokenRate& rate, double tokens) {
    // NOLINTNEXTLINE(bugprone-incorrect-roundings): never negative
    return static_cast<std::int64_t>(std::min(tokens * kPerSecond / rate.per_second, kLongest) + 0.5);
  }

  std::atomic<std::int64_t> full_at_{0};
};

}  // namespace millrace
