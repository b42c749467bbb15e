#include <algorithm>

#include <millrace/base/digest.hpp>
#include <millrace/observability/trace.hpp>

namespace millrace::observability {
namespace {

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_zero(std::string_view text) { return text.find_first_not_of('0') == std::string_view::npos; }

}  // namespace

bool is_traceparent(std::string_view text) {
  if (text.size() != 55 || !text.starts_with("00-") || text[35] != '-' || text[52] != '-') return false;
  const std::string_view trace = text.substr(3, 32);
  const std::string_view parent = text.substr(36, 16);
  return is_hex(trace) && is_hex(parent) && is_hex(text.substr(53)) && !is_zero(trace) && !is_zero(parent);
}

std::string new_traceparent() { return "00-" + to_hex(random_bytes(16)) + "-" + to_hex(random_bytes(8)) + "-01"; }

std::string_view trace_id(std::string_view traceparent) {
  return is_traceparent(traceparent) ? traceparent.substr(3, 32) : std::string_view{};
}

}  // namespace millrace::observability
