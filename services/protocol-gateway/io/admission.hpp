#pragma once

#include <algorithm>
#include <chrono>

namespace millrace::gateway {

/// How fast connections are taken from the kernel's backlog: a token bucket that holds a tenth of a second's worth.
/// What is not taken yet waits there, with its handshake ahead of it, instead of timing out in the middle of one. Pure;
/// one thread at a time.
class Admission {
 public:
  using Clock = std::chrono::steady_clock;

  /// 0: no limit.
  explicit Admission(double per_second)
      : per_second_(per_second), most_(std::max(1.0, per_second / 10)), tokens_(most_) {}

  /// How long until the next connection may be taken; zero: now.
  [[nodiscard]] Clock::duration wait(Clock::time_point now) {
    if (per_second_ <= 0) return Clock::duration::zero();
    tokens_ = std::min(most_, tokens_ + std::chrono::duration<double>(now - filled_).count() * per_second_);
    filled_ = now;
    if (tokens_ >= 1) return Clock::duration::zero();
    const auto missing = std::chrono::duration<double>((1 - tokens_) / per_second_);
    return std::chrono::ceil<std::chrono::microseconds>(missing);
  }

  /// One was taken. Several takers may together go below zero; that is waited for.
  void take() { tokens_ -= 1; }

 private:
  double per_second_;
  double most_;
  double tokens_;
  Clock::time_point filled_{};
};

}  // namespace millrace::gateway
