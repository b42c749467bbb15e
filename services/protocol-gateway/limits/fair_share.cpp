#include "limits/fair_share.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

namespace millrace::gateway {

double fair_share(double own, std::span<const double> others, double capacity) {
  if (others.empty()) return 1;
  constexpr double kLeastPart = 0.1;
  const auto count = static_cast<double>(others.size() + 1);
  const double least = kLeastPart * capacity / count;
  const double wanted = std::max(own, least);
  std::vector<double> all{wanted};
  for (const double other : others) all.push_back(std::max(other, least));
  const double total = std::accumulate(all.begin(), all.end(), 0.0);
  if (total <= capacity) return (wanted + (capacity - total) / count) / capacity;
  std::sort(all.begin(), all.end());
  double left = capacity;
  double waiting = count;
  for (const double one : all) {
    if (one > left / waiting) break;
    left -= one;
    waiting -= 1;
  }
  const double level = waiting > 0 ? left / waiting : capacity;
  return std::min(wanted, level) / capacity;
}

}  // namespace millrace::gateway
