#pragma once

#include <cstdint>
#include <string>

#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>

namespace millrace::query_api {

/// What PostgreSQL's timestamptz holds and RFC 3339 can write: years 1 to 9999.
inline constexpr TimeUs kFirstTime = -62'135'596'800'000'000;
inline constexpr TimeUs kLastTime = 253'402'300'800'000'000;

/// `asked`, or `usual` for 0; kInvalid where it is negative or more than `most`.
[[nodiscard]] Result<int> page_size(std::int32_t asked, int usual, int most);

/// kInvalid unless from is before to and both lie in those years.
[[nodiscard]] Status check_times(TimeUs from, TimeUs to);

/// kInvalid for a metric name that no reading can have.
[[nodiscard]] Status check_metric(const std::string& metric);

}  // namespace millrace::query_api
