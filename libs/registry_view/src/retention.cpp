#include <algorithm>
#include <limits>

#include <millrace/base/digest.hpp>
#include <millrace/registry_view/retention.hpp>

namespace millrace::registry_view {
namespace {

std::uint64_t hash_rule(const RetentionRule& rule, std::uint64_t seed) {
  return hash64(rule.type, hash64("/", hash64(rule.tenant, seed)));
}

}  // namespace

std::int32_t RetentionPlan::first_kept_day(std::int32_t today) const {
  std::int32_t first = std::numeric_limits<std::int32_t>::min();
  for (const RetentionRule& rule : rules) {
    if (rule.days > 0) first = std::max(first, today - rule.days);
  }
  return first;
}

RetentionOfDay RetentionPlan::on(std::int32_t day, std::int32_t today) const {
  RetentionOfDay of_day;
  std::vector<std::int32_t> numbers;
  numbers.reserve(rules.size());
  for (std::size_t i = 0; i < rules.size(); ++i) {
    numbers.push_back(rules[i].is_over(day, today) ? static_cast<std::int32_t>(i + 1) : 0);
    if (!rules[i].type.empty() || numbers[i] == 0) continue;
    of_day.tenants.push_back(rules[i].tenant);
    of_day.tenant_rules.push_back(numbers[i]);
  }
  for (const RetainedDevice& device : devices) {
    of_day.devices.push_back(device.device_key);
    of_day.device_rules.push_back(numbers[static_cast<std::size_t>(device.rule)]);
  }
  return of_day;
}

std::uint64_t RetentionPlan::digest_of_rules(std::int32_t day, std::int32_t today) const {
  std::uint64_t digest = 0;
  for (const RetentionRule& rule : rules) {
    // A type that keeps the day is another thing than a type without a rule.
    if (!rule.type.empty() || rule.is_over(day, today))
      digest = hash64(rule.is_over(day, today) ? "-" : "+", hash_rule(rule, digest));
  }
  return digest;
}

std::uint64_t RetentionPlan::digest_of_devices(std::int32_t last_key) const {
  std::uint64_t digest = 0;
  for (const RetainedDevice& device : devices) {
    if (device.device_key > last_key) break;
    digest = hash64(std::to_string(device.device_key), hash_rule(rules[static_cast<std::size_t>(device.rule)], digest));
  }
  return digest;
}

}  // namespace millrace::registry_view
