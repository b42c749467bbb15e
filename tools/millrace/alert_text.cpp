#include "alert_text.hpp"

#include "severity.hpp"
#include "text.hpp"

namespace millrace::cli {
namespace {

using alerts::v1::Alert;

constexpr const char* kByRule = "(rule deleted or disabled)";

bool is_cleared_by_rule(const Alert& alert) {
  return is_cleared(alert) && alert.clear_reason() == alerts::v1::CLEAR_REASON_RULE;
}

// ` = 42`, or why there is no value.
std::string value_part(const Alert& event) {
  if (is_cleared_by_rule(event)) return std::string("  ") + kByRule;
  return " = " + printable(value_text(is_cleared(event) ? event.clear_value() : event.raise_value()));
}

// An event bears the time of its reading: tells of one that the gateway took in long after that.
std::string lateness_part(const Alert& event) {
  constexpr TimeUs kWorthTelling = 10 * kUsPerSecond;
  if (is_cleared_by_rule(event) || event.ingest_time_us() == 0) return {};
  const TimeUs late = event.ingest_time_us() - time_of(event);
  return late < kWorthTelling ? std::string() : "  +" + std::to_string(late / kUsPerSecond) + " s late";
}

}  // namespace

bool is_cleared(const Alert& alert) { return alert.state() == alerts::v1::STATE_CLEARED; }

std::string state_text(alerts::v1::State state) { return state == alerts::v1::STATE_CLEARED ? "cleared" : "raised"; }

TimeUs time_of(const Alert& event) { return is_cleared(event) ? event.cleared_at_us() : event.raised_at_us(); }

std::string cleared_text(const Alert& alert) {
  if (!is_cleared(alert)) return "-";
  const std::string time = format_rfc3339(alert.cleared_at_us());
  return is_cleared_by_rule(alert) ? time + ' ' + kByRule : time;
}

std::string event_line(const Alert& event) {
  return padded(format_rfc3339(time_of(event)), 28) + padded(state_text(event.state()), 9) +
         padded(severity_text(event.severity()), 10) + event.rule() + "  " + event.device() + "  " +
         printable(event.metric()) + value_part(event) + lateness_part(event) + "  " + printable(event.description());
}

}  // namespace millrace::cli
