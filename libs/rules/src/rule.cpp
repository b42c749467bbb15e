#include <algorithm>

#include <millrace/base/ids.hpp>
#include <millrace/rules/expression.hpp>
#include <millrace/rules/rule.hpp>
#include <millrace/rules/v1/rule.pb.h>

namespace millrace::rules {
namespace {

// That it is UTF-8 was checked when the message was parsed: proto3 takes no other text.
Status check_text(std::string_view field, std::string_view text, std::size_t most) {
  if (text.size() > most)
    return Error{ErrorKind::kInvalid, std::string(field) + " has at most " + std::to_string(most) +
                                          " bytes, this one has " + std::to_string(text.size())};
  const bool control =
      std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; });
  if (control) return Error{ErrorKind::kInvalid, std::string(field) + " must be text without control characters"};
  return {};
}

Status check_condition(std::string_view field, std::string_view text) {
  const auto compiled = Expression::compile(text);
  if (compiled) return {};
  return Error{ErrorKind::kInvalid, std::string(field) + ", " + compiled.error().message};
}

// The beginning of a device id; `.` cannot begin one.
Status check_prefix(std::string_view prefix) {
  if (prefix.empty()) return {};
  return check_id("device_prefix", prefix);
}

}  // namespace

Result<Rule> decode(std::string_view bytes) {
  v1::Rule in;
  if (!in.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) || in.rule().empty() ||
      in.severity() < v1::SEVERITY_INFO || in.severity() > v1::SEVERITY_CRITICAL)
    return Error{ErrorKind::kCorrupt, "these bytes are no rule"};
  return Rule{.tenant = in.tenant(),
              .rule = in.rule(),
              .version = in.version(),
              .metric = in.metric(),
              .device_prefix = in.device_prefix(),
              .raise = in.raise(),
              .clear = in.clear(),
              .severity = static_cast<Severity>(in.severity()),
              .description = in.description(),
              .enabled = in.enabled(),
              .created_version = in.created_version()};
}

std::string encode(const Rule& rule) {
  v1::Rule out;
  out.set_tenant(rule.tenant);
  out.set_rule(rule.rule);
  out.set_version(rule.version);
  out.set_metric(rule.metric);
  out.set_device_prefix(rule.device_prefix);
  out.set_raise(rule.raise);
  out.set_clear(rule.clear);
  out.set_severity(static_cast<v1::Severity>(rule.severity));
  out.set_description(rule.description);
  out.set_enabled(rule.enabled);
  out.set_created_version(rule.created_version);
  return out.SerializeAsString();
}

Status validate(const Rule& rule) {
  if (auto fine = check_id("tenant id", rule.tenant); !fine) return fine;
  if (auto fine = check_id("rule id", rule.rule); !fine) return fine;
  if (rule.metric.empty()) return Error{ErrorKind::kInvalid, "metric is empty"};
  if (auto fine = check_text("metric", rule.metric, kMaxMetricBytes); !fine) return fine;
  if (auto fine = check_prefix(rule.device_prefix); !fine) return fine;
  if (auto fine = check_text("description", rule.description, kMaxDescriptionBytes); !fine) return fine;
  if (auto fine = check_text("raise", rule.raise, kMaxExpressionBytes); !fine) return fine;
  if (auto fine = check_text("clear", rule.clear, kMaxExpressionBytes); !fine) return fine;
  if (rule.raise.empty()) return Error{ErrorKind::kInvalid, "raise is empty"};
  if (auto fine = check_condition("raise", rule.raise); !fine) return fine;
  return rule.clear.empty() ? Status{} : check_condition("clear", rule.clear);
}

}  // namespace millrace::rules
