#pragma once

#include <algorithm>

#include <millrace/base/time.hpp>

namespace millrace::query_api {

/// Where a read from `from` on must begin in archived days, so that it has the readings which make room for others and
/// so come to lie behind `from`: a thousand of them in a row at most, and of the same day.
[[nodiscard]] constexpr TimeUs look_back(TimeUs from) {
  constexpr TimeUs kDay = 86'400 * kUsPerSecond;
  const TimeUs into_day = (from % kDay + kDay) % kDay;
  return from - std::min<TimeUs>(into_day, 1'000);
}

}  // namespace millrace::query_api
