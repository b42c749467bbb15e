#pragma once

#include <chrono>
#include <cstdint>

namespace millrace {

/// Exponential back-off with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"): the n-th delay is
/// uniform in [first/2, min(most, first * 2^n)]. Not thread-safe.
class Backoff {
 public:
  Backoff(std::chrono::milliseconds first, std::chrono::milliseconds most);

  /// How long to wait before the next try.
  [[nodiscard]] std::chrono::milliseconds next();

  /// After a success.
  void reset() { tries_ = 0; }

  [[nodiscard]] int tries() const { return tries_; }

 private:
  std::chrono::milliseconds first_;
  std::chrono::milliseconds most_;
  int tries_ = 0;
  std::uint64_t state_;
};

}  // namespace millrace
