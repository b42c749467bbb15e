#pragma once

#include <cstdint>

namespace millrace::fleet {

/// Open loop: how many messages have become due, whatever became of those before. Bursts per device keep a fast fleet's
/// writes worth their system call: a device is given its messages `burst` at a time, never more than 20 ms of its own
/// rate.
class Pacer {
 public:
  /// `rate` messages/s over all `devices`, from `start_ns` on.
  Pacer(double rate, std::size_t devices, std::int64_t start_ns);

  /// Messages due at `now_ns` that were not told before; a multiple of burst().
  [[nodiscard]] std::uint64_t due(std::int64_t now_ns);
  [[nodiscard]] std::uint64_t burst() const { return burst_; }
  /// When the n-th message (from 0) was due.
  [[nodiscard]] std::int64_t due_ns(std::uint64_t n) const;

 private:
  double rate_;
  std::int64_t start_ns_;
  std::uint64_t burst_;
  std::uint64_t told_ = 0;
};

}  // namespace millrace::fleet
