#include "readings/readings.hpp"

namespace millrace::fleet {

std::uint64_t Readings::random_bits(std::size_t device, std::uint32_t index, std::uint32_t purpose) const {
  // SplitMix64 over the four numbers.
  std::uint64_t state = options_.seed * 0x9E3779B97F4A7C15ULL;
  for (const std::uint64_t part : {std::uint64_t{device}, std::uint64_t{index}, std::uint64_t{purpose}}) {
    state += part + 0x9E3779B97F4A7C15ULL;
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9ULL;
    state = (state ^ (state >> 27)) * 0x94D049BB133111EBULL;
    state ^= state >> 31;
  }
  return state;
}

bool Readings::is_timed(std::size_t device, std::uint32_t index) const {
  constexpr double kTwoTo53 = 9007199254740992.0;
  return static_cast<double>(random_bits(device, index, 0) >> 11) / kTwoTo53 >= options_.untimed_share;
}

}  // namespace millrace::fleet
