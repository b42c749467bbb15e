#pragma once

#include <array>
#include <cstdint>

namespace millrace::fleet {

/// Counts of durations in buckets 1/64 apart: percentiles within 1.6 %, at a fixed size.
class Latencies {
 public:
  void add(std::int64_t ns);
  [[nodiscard]] std::uint64_t count() const { return count_; }
  /// Milliseconds below which `share` (0..1) of the durations lie; 0 when there are none.
  [[nodiscard]] double percentile_ms(double share) const;
  [[nodiscard]] double max_ms() const { return static_cast<double>(max_us_) / 1000; }

 private:
  static constexpr unsigned kSubBits = 6;
  static std::size_t bucket(std::uint64_t us);
  static double upper_us(std::size_t bucket);

  std::array<std::uint64_t, 64 * (1U << kSubBits)> counts_{};
  std::uint64_t count_ = 0;
  std::uint64_t max_us_ = 0;
};

}  // namespace millrace::fleet
