#include "derived/derived_decode.hpp"

#include <algorithm>
#include <string>

#include <millrace/alerts/v1/alert.pb.h>
#include <millrace/base/ids.hpp>
#include <millrace/stream/v1/window.pb.h>

namespace millrace::writer {
namespace {

constexpr std::size_t kMostMetricBytes = 128;
constexpr std::size_t kMostKeyBytes = 512;
constexpr std::size_t kMostDescriptionBytes = 4'096;
/// Years 1 to 9999: what timestamptz holds and RFC 3339 can write.
constexpr TimeUs kFirstTime = -62'135'596'800'000'000;
constexpr TimeUs kLastTime = 253'402'300'800'000'000;

Error invalid(std::string what) { return {ErrorKind::kInvalid, std::move(what)}; }

Status check_text(std::string_view what, std::string_view text, std::size_t most) {
  if (text.size() > most) {
    return invalid(std::string(what) + " has " + std::to_string(text.size()) + " bytes, more than " +
                   std::to_string(most));
  }
  if (text.find('\0') != std::string_view::npos) return invalid(std::string(what) + " holds U+0000");
  return {};
}

Status check_name(std::string_view what, std::string_view text, std::size_t most) {
  if (text.empty()) return invalid(std::string(what) + " is empty");
  return check_text(what, text, most);
}

Status check_time(std::string_view what, TimeUs time) {
  if (time >= kFirstTime && time < kLastTime) return {};
  return invalid(std::string(what) + " " + std::to_string(time) + " is not in the years 1 to 9999");
}

Status check(const stream::v1::WindowResult& window) {
  if (auto ok = check_id("tenant id", window.tenant()); !ok) return ok;
  if (auto ok = check_name("metric", window.metric(), kMostMetricBytes); !ok) return ok;
  if (auto ok = check_time("start_us", window.start_us()); !ok) return ok;
  if (auto ok = check_time("last_time_us", window.last_time_us()); !ok) return ok;
  if (window.device_key() <= 0) return invalid("device_key " + std::to_string(window.device_key()) + " is none");
  if (window.size_us() <= 0) return invalid("size_us " + std::to_string(window.size_us()) + " is not more than 0");
  if (window.revision() <= 0) return invalid("revision " + std::to_string(window.revision()) + " is not 1 or more");
  if (window.count() <= 0) return invalid("count " + std::to_string(window.count()) + " is not 1 or more");
  return {};
}

Status check(const alerts::v1::Alert& alert) {
  if (auto ok = check_name("alert_key", alert.alert_key(), kMostKeyBytes); !ok) return ok;
  if (auto ok = check_id("tenant id", alert.tenant()); !ok) return ok;
  if (auto ok = check_id("rule id", alert.rule()); !ok) return ok;
  if (auto ok = check_id("device id", alert.device()); !ok) return ok;
  if (auto ok = check_name("metric", alert.metric(), kMostMetricBytes); !ok) return ok;
  if (auto ok = check_text("description", alert.description(), kMostDescriptionBytes); !ok) return ok;
  if (auto ok = check_time("raised_at_us", alert.raised_at_us()); !ok) return ok;
  if (auto ok = check_time("cleared_at_us", alert.cleared_at_us()); !ok) return ok;
  if (alert.event_number() <= 0) return invalid("event_number " + std::to_string(alert.event_number()) + " is none");
  if (alert.state() != alerts::v1::STATE_RAISED && alert.state() != alerts::v1::STATE_CLEARED) {
    return invalid("state " + std::to_string(static_cast<int>(alert.state())) + " is neither raised nor cleared");
  }
  const int severity = alert.severity();
  if (severity < rules::v1::SEVERITY_UNSPECIFIED || severity > rules::v1::SEVERITY_CRITICAL) {
    return invalid("severity " + std::to_string(severity) + " is none");
  }
  return {};
}

// Empty: it is none.
std::string episode_of(std::string_view alert_id) {
  constexpr std::size_t kDigits = 32;
  if (alert_id.size() != kDigits) return {};
  std::string id;
  for (const char digit : alert_id) {
    const char lower = digit >= 'A' && digit <= 'F' ? static_cast<char>(digit - 'A' + 'a') : digit;
    if ((lower < '0' || lower > '9') && (lower < 'a' || lower > 'f')) return {};
    id += lower;
  }
  return id;
}

template <typename Message>
Result<Message> parsed(std::string_view value, std::string_view what) {
  Message message;
  if (!message.ParseFromArray(value.data(), static_cast<int>(value.size()))) {
    return invalid("not the protocol buffer " + std::string(what));
  }
  if (auto valid = check(message); !valid) return valid.error();
  return message;
}

}  // namespace

Result<WindowRow> window_of(std::string_view value) {
  auto window = parsed<stream::v1::WindowResult>(value, "WindowResult");
  if (!window) return window.error();
  WindowRow row;
  row.tenant = std::move(*window->mutable_tenant());
  row.metric = std::move(*window->mutable_metric());
  row.device = window->device_key();
  row.start = window->start_us();
  row.size_us = window->size_us();
  row.count = window->count();
  row.min = window->min();
  row.max = window->max();
  row.mean = window->mean();
  row.last = window->last();
  row.last_time = window->last_time_us();
  row.revision = window->revision();
  row.is_final = window->final();
  row.approximate = window->approximate();
  return row;
}

Result<AlertRow> alert_of(std::string_view value) {
  auto alert = parsed<alerts::v1::Alert>(value, "Alert");
  if (!alert) return alert.error();
  AlertRow row;
  row.alert_id = episode_of(alert->alert_id());
  if (row.alert_id.empty()) return invalid("alert_id is not 32 hexadecimal digits");
  row.alert_key = std::move(*alert->mutable_alert_key());
  row.event_number = alert->event_number();
  row.tenant = std::move(*alert->mutable_tenant());
  row.rule = std::move(*alert->mutable_rule());
  row.device = std::move(*alert->mutable_device());
  row.metric = std::move(*alert->mutable_metric());
  row.state = static_cast<std::int16_t>(alert->state());
  row.severity = static_cast<std::int16_t>(alert->severity());
  row.raised_at = alert->raised_at_us();
  if (alert->state() == alerts::v1::STATE_CLEARED) row.cleared_at = alert->cleared_at_us();
  row.description = std::move(*alert->mutable_description());
  return row;
}

}  // namespace millrace::writer
