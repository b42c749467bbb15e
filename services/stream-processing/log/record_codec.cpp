#include "log/record_codec.hpp"

#include <millrace/alerts/v1/alert.pb.h>
#include <millrace/stream/v1/window.pb.h>
#include <millrace/telemetry/value_proto.hpp>

namespace millrace::stream {

std::string encode(const Alert& event) {
  alerts::v1::Alert out;
  out.set_alert_key(event.alert_key);
  out.set_alert_id(event.alert_id);
  out.set_event_number(event.event_number);
  out.set_state(static_cast<alerts::v1::State>(event.state));
  out.set_tenant(event.tenant);
  out.set_rule(event.rule);
  out.set_rule_version(event.rule_version);
  out.set_device(event.device);
  out.set_device_key(event.device_key);
  out.set_metric(event.metric);
  out.set_severity(static_cast<rules::v1::Severity>(event.severity));
  out.set_description(event.description);
  out.set_raised_at_us(event.raised_at);
  if (event.raise_value) telemetry::to_proto(*event.raise_value, *out.mutable_raise_value());
  out.set_raise_expression(event.raise_expression);
  out.set_raise_receipt(event.raise_receipt);
  out.set_cleared_at_us(event.cleared_at);
  if (event.clear_value) telemetry::to_proto(*event.clear_value, *out.mutable_clear_value());
  out.set_clear_expression(event.clear_expression);
  out.set_clear_receipt(event.clear_receipt);
  out.set_clear_reason(static_cast<alerts::v1::ClearReason>(event.clear_reason));
  out.set_ingest_time_us(event.ingest_time);
  out.set_traceparent(event.traceparent);
  return out.SerializeAsString();
}

Result<Alert> decode_alert(std::string_view bytes) {
  alerts::v1::Alert in;
  if (!in.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) || in.alert_key().empty() ||
      (in.state() != alerts::v1::STATE_RAISED && in.state() != alerts::v1::STATE_CLEARED))
    return Error{ErrorKind::kCorrupt, "a record of the topic alerts is no alert"};
  Alert event;
  event.alert_key = in.alert_key();
  event.alert_id = in.alert_id();
  event.event_number = in.event_number();
  event.state = in.state() == alerts::v1::STATE_RAISED ? Alert::State::kRaised : Alert::State::kCleared;
  event.tenant = in.tenant();
  event.rule = in.rule();
  event.rule_version = in.rule_version();
  event.device = in.device();
  event.device_key = in.device_key();
  event.metric = in.metric();
  event.severity = static_cast<rules::Severity>(in.severity());
  event.description = in.description();
  event.raised_at = in.raised_at_us();
  telemetry::Value value;
  if (in.has_raise_value() && telemetry::from_proto(in.raise_value(), value)) event.raise_value = value;
  event.raise_expression = in.raise_expression();
  event.raise_receipt = in.raise_receipt();
  event.cleared_at = in.cleared_at_us();
  if (in.has_clear_value() && telemetry::from_proto(in.clear_value(), value)) event.clear_value = value;
  event.clear_expression = in.clear_expression();
  event.clear_receipt = in.clear_receipt();
  event.clear_reason = static_cast<Alert::ClearReason>(in.clear_reason());
  event.ingest_time = in.ingest_time_us();
  event.traceparent = in.traceparent();
  return event;
}

std::string encode(const ClosedWindow& closed) {
  v1::WindowResult out;
  out.set_tenant(std::string(closed.tenant));
  out.set_device(std::string(closed.device));
  out.set_device_key(closed.device_key);
  out.set_metric(std::string(closed.metric));
  out.set_start_us(closed.start);
  out.set_size_us(closed.size);
  out.set_revision(1);
  out.set_final(true);
  out.set_count(closed.figures.count);
  out.set_min(closed.figures.min);
  out.set_max(closed.figures.max);
  out.set_mean(closed.figures.mean);
  out.set_last(closed.figures.last);
  out.set_last_time_us(closed.figures.last_time);
  out.set_approximate(closed.figures.approximate);
  return out.SerializeAsString();
}

}  // namespace millrace::stream
