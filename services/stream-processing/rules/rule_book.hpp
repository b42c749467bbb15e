#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/rules/expression.hpp>
#include <millrace/rules/rule.hpp>

namespace millrace::stream {

/// A rule ready to run.
struct CompiledRule {
  rules::Rule rule;
  rules::Expression raise;
  std::optional<rules::Expression> clear;  ///< none: cleared where `raise` is not true

  [[nodiscard]] static Result<CompiledRule> compile(rules::Rule rule);

  /// Whether it looks at the series at all.
  [[nodiscard]] bool applies_to(std::string_view tenant, std::string_view device, std::string_view metric) const;
};

/// All enabled rules as they are at one moment. Immutable; shared between threads.
class RuleBook {
 public:
  RuleBook() = default;
  RuleBook(std::uint64_t version, const std::vector<std::shared_ptr<const CompiledRule>>& rules);

  /// Differs between any two books of a process.
  [[nodiscard]] std::uint64_t version() const { return version_; }

  /// Rules of a tenant's metric, by rule id; the device prefix is not looked at yet.
  [[nodiscard]] std::span<const std::shared_ptr<const CompiledRule>> for_metric(std::string_view tenant,
                                                                                std::string_view metric) const;

  /// Null if there is no such rule or it is disabled.
  [[nodiscard]] const CompiledRule* find(std::string_view tenant, std::string_view rule) const;

  [[nodiscard]] std::size_t size() const { return by_id_.size(); }

 private:
  std::uint64_t version_ = 0;
  std::map<std::string, std::vector<std::shared_ptr<const CompiledRule>>, std::less<>> by_metric_;  // tenant/metric
  std::map<std::string, std::shared_ptr<const CompiledRule>, std::less<>> by_id_;                   // tenant/rule
};

}  // namespace millrace::stream
