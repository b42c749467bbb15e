#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <millrace/base/result.hpp>

namespace millrace::rules {

/// Numbers as in rules.v1.Severity.
enum class Severity : std::uint8_t { kInfo = 1, kWarning = 2, kCritical = 3 };

/// As rules.v1.Rule, which explains the fields.
struct Rule {
  std::string tenant;
  std::string rule;
  std::int64_t version = 0;
  std::string metric;
  std::string device_prefix;
  std::string raise;
  std::string clear;
  Severity severity = Severity::kWarning;
  std::string description;
  bool enabled = true;
  std::int64_t created_version = 0;  ///< 0: not known
  bool operator==(const Rule&) const = default;
};

inline constexpr std::size_t kMaxMetricBytes = 128;
inline constexpr std::size_t kMaxDescriptionBytes = 512;

/// kCorrupt if the bytes are no rule. Says nothing about its conditions.
[[nodiscard]] Result<Rule> decode(std::string_view bytes);
[[nodiscard]] std::string encode(const Rule& rule);

/// Everything a rule must be before it is accepted: ids, lengths, UTF-8, both conditions compile. kInvalid names the
/// field and, in a condition, the column.
[[nodiscard]] Status validate(const Rule& rule);

}  // namespace millrace::rules
