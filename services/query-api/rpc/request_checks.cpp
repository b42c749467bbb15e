#include "rpc/request_checks.hpp"

namespace millrace::query_api {
namespace {

constexpr std::int64_t kLeastStep = 1'000;
constexpr std::int64_t kMostStep = 36'525LL * 86'400 * kUsPerSecond;

}  // namespace

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

Status check_names(std::string_view field, const google::protobuf::RepeatedPtrField<std::string>& names) {
  if (names.size() <= kMostNames) return {};
  return Error{ErrorKind::kInvalid, std::string(field) + " has " + std::to_string(names.size()) + " names, at most " +
                                        std::to_string(kMostNames) + " may be in one request"};
}

Status check_step(std::int64_t step_us) {
  if (step_us > kMostStep) return Error{ErrorKind::kInvalid, "step_us is more than 100 years"};
  if (step_us >= kLeastStep) return {};
  return Error{ErrorKind::kInvalid,
               "step_us " + std::to_string(step_us) + " is less than " + std::to_string(kLeastStep)};
}

Patience patience_of(const rpc::Call& call) {
  // The call outlives the handler, and so every statement.
  return {call.deadline, [context = call.context] { return context->IsCancelled(); }};
}

}  // namespace millrace::query_api
