#pragma once

#include <chrono>

namespace millrace::gateway {

/// Stops asking a broker that does not answer: after `failures` in a row it opens for `open_for`, then one try is let
/// through (half open), whose outcome closes it or opens it again. A pure value; not thread-safe.
class CircuitBreaker {
 public:
  using Clock = std::chrono::steady_clock;
  enum class State { kClosed = 0, kHalfOpen = 1, kOpen = 2 };  ///< the numbers of the gauge

  CircuitBreaker(int failures, std::chrono::milliseconds open_for) : failures_(failures), open_for_(open_for) {}

  /// Whether a try may be made now; while half open, one at a time.
  [[nodiscard]] bool allows(Clock::time_point now);

  void succeeded();
  void failed(Clock::time_point now);

  [[nodiscard]] State state() const { return state_; }
  /// Of kOpen: when the next try is let through.
  [[nodiscard]] Clock::time_point opens_until() const { return until_; }
  [[nodiscard]] int failures_in_a_row() const { return count_; }

 private:
  int failures_;
  std::chrono::milliseconds open_for_;
  State state_ = State::kClosed;
  int count_ = 0;
  bool trying_ = false;  // of kHalfOpen
  Clock::time_point until_{};
};

}  // namespace millrace::gateway
