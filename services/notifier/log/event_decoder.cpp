#include "log/event_decoder.hpp"

#include <algorithm>

#include <google/protobuf/util/json_util.h>

#include <millrace/base/ids.hpp>
#include <millrace/observability/trace.hpp>

#include "millrace/alerts/v1/alert.pb.h"

namespace millrace::notifier {
namespace {

constexpr std::size_t kAlertIdBytes = 32;

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace

Result<Event> decode_event(const RecordFacts& facts, std::string_view key, std::string_view value) {
  alerts::v1::Alert alert;
  if (!alert.ParseFromArray(value.data(), static_cast<int>(value.size()))) {
    return Error{ErrorKind::kInvalid, "the value is no alerts.v1.Alert"};
  }
  if (const Status checked = check_id("tenant id", alert.tenant()); !checked.ok()) return checked.error();
  if (key != alert.alert_key() || !key.starts_with(alert.tenant() + "/")) {
    return Error{ErrorKind::kInvalid, "the record's key is not the alert key of the tenant"};
  }
  // It goes into a header.
  if (alert.alert_id().size() != kAlertIdBytes || !is_hex(alert.alert_id())) {
    return Error{ErrorKind::kInvalid, "the alert id is not 32 hexadecimal digits"};
  }
  Event event;
  event.partition = facts.partition;
  event.offset = facts.offset;
  event.time_us = facts.time_us;
  event.tenant = alert.tenant();
  event.alert_key = alert.alert_key();
  event.idempotency_key = alert.alert_id() + "-" + std::to_string(alert.event_number());
  if (observability::is_traceparent(alert.traceparent())) event.traceparent = alert.traceparent();
  const auto printed = google::protobuf::util::MessageToJsonString(alert, &event.body);
  if (!printed.ok()) return Error{ErrorKind::kInvalid, "no JSON: " + std::string(printed.message())};
  return event;
}

}  // namespace millrace::notifier
