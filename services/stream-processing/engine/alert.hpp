#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <millrace/base/time.hpp>
#include <millrace/rules/rule.hpp>
#include <millrace/telemetry/batch.hpp>

namespace millrace::stream {

/// One event of an alert: what the alert is from then on. As alerts.v1.Alert, which explains the fields.
struct Alert {
  enum class State : std::uint8_t { kRaised = 1, kCleared = 2 };
  enum class ClearReason : std::uint8_t { kNone = 0, kReading = 1, kRule = 2 };

  std::string alert_key;
  std::string alert_id;
  std::int64_t event_number = 0;
  State state = State::kCleared;
  std::string tenant;
  std::string rule;
  std::int64_t rule_version = 0;
  std::string device;
  std::int32_t device_key = 0;
  std::string metric;
  rules::Severity severity = rules::Severity::kWarning;
  std::string description;
  TimeUs raised_at = 0;
  std::optional<telemetry::Value> raise_value;
  std::string raise_expression;
  std::string raise_receipt;
  TimeUs cleared_at = 0;
  std::optional<telemetry::Value> clear_value;
  std::string clear_expression;
  std::string clear_receipt;
  ClearReason clear_reason = ClearReason::kNone;
  TimeUs ingest_time = 0;
  std::string traceparent;

  [[nodiscard]] bool is_open() const { return state == State::kRaised; }
  bool operator==(const Alert&) const = default;
};

/// `<tenant>/<rule>/<device>/<metric>`; only the metric, which stands last, can have a slash.
[[nodiscard]] std::string alert_key_of(std::string_view tenant, std::string_view rule, std::string_view device,
                                       std::string_view metric);

/// 32 hexadecimal digits of SHA-256 over key, raise time and number of the raise: the same after every recovery.
[[nodiscard]] std::string alert_id_of(std::string_view alert_key, TimeUs raised_at, std::int64_t event_number);

}  // namespace millrace::stream
