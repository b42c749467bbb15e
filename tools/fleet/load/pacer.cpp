#include "load/pacer.hpp"

#include <algorithm>

namespace millrace::fleet {

Pacer::Pacer(double rate, std::size_t devices, std::int64_t start_ns) : rate_(rate), start_ns_(start_ns) {
  const double per_device = rate / static_cast<double>(std::max<std::size_t>(devices, 1));
  burst_ = std::clamp<std::uint64_t>(static_cast<std::uint64_t>(per_device / 50), 1, 64);
}

std::uint64_t Pacer::due(std::int64_t now_ns) {
  if (now_ns <= start_ns_) return 0;
  const auto total = static_cast<std::uint64_t>(static_cast<double>(now_ns - start_ns_) * 1e-9 * rate_);
  const std::uint64_t whole = total / burst_ * burst_;
  if (whole <= told_) return 0;
  const std::uint64_t fresh = whole - told_;
  told_ = whole;
  return fresh;
}

std::int64_t Pacer::due_ns(std::uint64_t n) const {
  // Bursts are due with their last message.
  const std::uint64_t last = (n / burst_ + 1) * burst_;
  return start_ns_ + static_cast<std::int64_t>(static_cast<double>(last) / rate_ * 1e9);
}

}  // namespace millrace::fleet
