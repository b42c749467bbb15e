#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <google/protobuf/repeated_ptr_field.h>

#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>
#include <millrace/rpc/call.hpp>

#include "read/patience.hpp"

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

/// kInvalid for more than kMostNames; `field` is that of the request.
[[nodiscard]] Status check_names(std::string_view field, const google::protobuf::RepeatedPtrField<std::string>& names);
inline constexpr int kMostNames = 1'000;

/// A width of buckets: at least 1,000 us and at most 100 years.
[[nodiscard]] Status check_step(std::int64_t step_us);

/// As patient as the caller.
[[nodiscard]] Patience patience_of(const rpc::Call& call);

}  // namespace millrace::query_api
