#include <algorithm>
#include <random>

#include <millrace/base/backoff.hpp>

namespace millrace {

Backoff::Backoff(std::chrono::milliseconds first, std::chrono::milliseconds most)
    : first_(first), most_(most), state_(std::random_device{}()) {}

std::chrono::milliseconds Backoff::next() {
  const auto ceiling = std::min<std::int64_t>(most_.count(), first_.count() << std::min(tries_, 20));
  ++tries_;
  state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
  const std::int64_t floor = first_.count() / 2;
  const auto span = static_cast<std::uint64_t>(std::max<std::int64_t>(1, ceiling - floor + 1));
  return std::chrono::milliseconds{floor + static_cast<std::int64_t>((state_ >> 33) % span)};
}

}  // namespace millrace
