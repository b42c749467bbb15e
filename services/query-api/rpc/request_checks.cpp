#include "rpc/request_checks.hpp"

namespace millrace::query_api {

Result<int> page_size(std::int32_t asked, int usual, int most) {
  if (asked < 0 || asked > most) {
    return Error{ErrorKind::kInvalid,
                 "page_size " + std::to_string(asked) + " is not between 0 and " + std::to_string(most)};
  }
  return asked == 0 ? usual : asked;
}

Status check_times(TimeUs from, TimeUs to) {
  if (from >= to) return Error{ErrorKind::kInvalid, "from_us must be before to_us"};
  if (from < kFirstTime || to > kLastTime) {
    return Error{ErrorKind::kInvalid,
                 "from_us and to_us must lie in the years 1 to 9999 (microseconds since the epoch)"};
  }
  return {};
}

Status check_metric(const std::string& metric) {
  if (metric.empty()) return Error{ErrorKind::kInvalid, "metric is empty"};
  if (metric.find('\0') != std::string::npos) return Error{ErrorKind::kInvalid, "metric holds U+0000"};
  return {};
}

}  // namespace millrace::query_api
