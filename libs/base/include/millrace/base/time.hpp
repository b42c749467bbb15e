#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <millrace/base/result.hpp>

namespace millrace {

/// Microseconds since the Unix epoch, UTC.
using TimeUs = std::int64_t;

inline constexpr TimeUs kUsPerSecond = 1'000'000;

/// The wall clock.
[[nodiscard]] TimeUs now_us();

/// `2026-11-22T23:52:45.000001Z`; the fraction has 0, 3 or 6 digits, as few as keep the value.
[[nodiscard]] std::string format_rfc3339(TimeUs time);

/// RFC 3339 section 5.6 `date-time`: the zone is required; `t`, `z` and a blank instead of `T` are accepted; more than
/// six fraction digits are cut. A leap second (60) reads as the second after it. kInvalid says what is wrong.
[[nodiscard]] Result<TimeUs> parse_rfc3339(std::string_view text);

}  // namespace millrace
