#include "rules/rule_book.hpp"

#include <algorithm>

namespace millrace::stream {
namespace {

// A tenant id has no slash: no two pairs have the same key.
std::string key_of(std::string_view tenant, std::string_view name) {
  std::string key;
  key.reserve(tenant.size() + 1 + name.size());
  key.append(tenant).append("/").append(name);
  return key;
}

}  // namespace

Result<CompiledRule> CompiledRule::compile(rules::Rule rule) {
  auto raise = rules::Expression::compile(rule.raise);
  if (!raise) return Error{ErrorKind::kInvalid, "raise, " + raise.error().message};
  std::optional<rules::Expression> clear;
  if (!rule.clear.empty()) {
    auto compiled = rules::Expression::compile(rule.clear);
    if (!compiled) return Error{ErrorKind::kInvalid, "clear, " + compiled.error().message};
    clear = std::move(*compiled);
  }
  return CompiledRule{std::move(rule), std::move(*raise), std::move(clear)};
}

bool CompiledRule::applies_to(std::string_view tenant, std::string_view device, std::string_view metric) const {
  return rule.tenant == tenant && rule.metric == metric && device.starts_with(rule.device_prefix);
}

RuleBook::RuleBook(std::uint64_t version, const std::vector<std::shared_ptr<const CompiledRule>>& rules)
    : version_(version) {
  for (const auto& one : rules) {
    if (!one->rule.enabled) continue;
    by_id_[key_of(one->rule.tenant, one->rule.rule)] = one;
  }
  // From the sorted map: the order in which rules are asked is the same in every process.
  for (const auto& [key, one] : by_id_) by_metric_[key_of(one->rule.tenant, one->rule.metric)].push_back(one);
}

std::span<const std::shared_ptr<const CompiledRule>> RuleBook::for_metric(std::string_view tenant,
                                                                          std::string_view metric) const {
  const auto found = by_metric_.find(key_of(tenant, metric));
  if (found == by_metric_.end()) return {};
  return found->second;
}

const CompiledRule* RuleBook::find(std::string_view tenant, std::string_view rule) const {
  const auto found = by_id_.find(key_of(tenant, rule));
  return found == by_id_.end() ? nullptr : found->second.get();
}

}  // namespace millrace::stream
