#include "engine/window.hpp"

#include <algorithm>

namespace millrace::stream {
namespace {

// Welford's mean: exact to rounding for readings of any size, no sum that could overflow.
void count_in(Figures& figures, TimeUs time, double value) {
  if (figures.count == 0) {
    figures.min = figures.max = value;
    figures.last_time = time;
    figures.last = value;
  }
  ++figures.count;
  figures.min = std::min(figures.min, value);
  figures.max = std::max(figures.max, value);
  // Halved: the difference of two finite doubles may be infinite.
  figures.mean += 2 * ((value / 2 - figures.mean / 2) / static_cast<double>(figures.count));
  if (time >= figures.last_time) {
    figures.last_time = time;
    figures.last = value;
  }
}

}  // namespace

bool Window::add(TimeUs time, bool timed, double value) {
  const std::int64_t order = time * 2 + (timed ? 1 : 0);
  if (folded_.count > 0) {
    count_in(folded_, time, value);
    return true;
  }
  // Nearly always the newest.
  auto at = readings_.end();
  if (!readings_.empty() && readings_.back().order >= order) {
    at = std::upper_bound(readings_.begin(), readings_.end(), order,
                          [](std::int64_t wanted, const Reading& one) { return wanted < one.order; });
    if (timed && at != readings_.begin() && std::prev(at)->order == order) {
      std::prev(at)->value = value;
      return false;
    }
  }
  readings_.insert(at, {order, value});
  if (readings_.size() > kMostReadings) fold();
  return true;
}

void Window::fold() {
  folded_ = figures();
  folded_.approximate = true;
  readings_.clear();
  readings_.shrink_to_fit();
}

Figures Window::figures() const {
  Figures figures = folded_;
  for (const Reading& one : readings_) count_in(figures, one.order >> 1, one.value);
  return figures;
}

}  // namespace millrace::stream
