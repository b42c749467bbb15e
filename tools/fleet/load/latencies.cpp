#include "load/latencies.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace millrace::fleet {

std::size_t Latencies::bucket(std::uint64_t us) {
  constexpr std::uint64_t kSub = 1U << kSubBits;
  if (us < kSub) return us;
  const auto exponent = static_cast<unsigned>(std::bit_width(us)) - 1 - kSubBits;
  return static_cast<std::size_t>((std::uint64_t{exponent} + 1) * kSub + ((us >> exponent) - kSub));
}

double Latencies::upper_us(std::size_t bucket) {
  constexpr std::size_t kSub = 1U << kSubBits;
  if (bucket < kSub) return static_cast<double>(bucket);
  const auto exponent = static_cast<int>(bucket / kSub - 1);
  return std::ldexp(static_cast<double>(kSub + bucket % kSub + 1), exponent) - 1;
}

void Latencies::add(std::int64_t ns) {
  const std::uint64_t us = ns <= 0 ? 0 : static_cast<std::uint64_t>(ns) / 1000;
  ++counts_[std::min(bucket(us), counts_.size() - 1)];
  ++count_;
  max_us_ = std::max(max_us_, us);
}

double Latencies::percentile_ms(double share) const {
  if (count_ == 0) return 0;
  const auto wanted = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(count_)));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    seen += counts_[i];
    if (seen >= std::max<std::uint64_t>(wanted, 1)) return std::min(upper_us(i) / 1000, max_ms());
  }
  return max_ms();
}

}  // namespace millrace::fleet
