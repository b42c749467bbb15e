#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace millrace::registry_view {

/// How long the points of some devices are kept: a day of theirs goes `days` days after its end, UTC.
struct RetentionRule {
  std::string tenant;
  std::string type;       ///< empty: all devices of the tenant whose type has no rule
  std::int32_t days = 0;  ///< 0: for ever

  /// Whether `day` is over under the rule; both are days since the epoch.
  [[nodiscard]] bool is_over(std::int32_t day, std::int32_t today) const { return days > 0 && day < today - days; }
};

/// A device whose type has a rule.
struct RetainedDevice {
  std::int32_t device_key = 0;
  std::int32_t rule = 0;  ///< index in RetentionPlan::rules
};

/// What a day loses, as the functions of storage_schema want it: rules by their index plus 1, 0 for one that keeps the
/// day.
struct RetentionOfDay {
  std::vector<std::string> tenants;
  std::vector<std::int32_t> tenant_rules;
  std::vector<std::int32_t> devices;
  std::vector<std::int32_t> device_rules;
};

/// The rules of one tenant or of all, and whom they concern. Plain data.
struct RetentionPlan {
  std::vector<RetentionRule> rules;     ///< in the order of (tenant, type)
  std::vector<RetainedDevice> devices;  ///< in the order of their keys
  std::int32_t highest_key = 0;         ///< of all devices, of those without a rule, too

  /// Days before this one can be over; 0 or less: none can.
  [[nodiscard]] std::int32_t first_kept_day(std::int32_t today) const;
  [[nodiscard]] RetentionOfDay on(std::int32_t day, std::int32_t today) const;
  /// Equal for days for which the same rules are over.
  [[nodiscard]] std::uint64_t digest_of_rules(std::int32_t day, std::int32_t today) const;
  /// Equal while the devices with keys up to `last_key` are under the same rules as before.
  [[nodiscard]] std::uint64_t digest_of_devices(std::int32_t last_key) const;
};

}  // namespace millrace::registry_view
