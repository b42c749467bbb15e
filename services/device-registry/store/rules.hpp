#pragma once

#include <string>

#include <millrace/base/result.hpp>
#include <millrace/postgres/connection.hpp>
#include <millrace/registry/v1/registry.pb.h>
#include <millrace/rules/v1/rule.pb.h>

namespace millrace::registry {

inline constexpr std::int64_t kMostRules = 1'000;       // of one tenant
inline constexpr std::int64_t kMostRulesOfMetric = 50;  // of one tenant and metric

/// Each call runs inside the caller's transaction and writes the outbox with it. `rule` was checked by
/// rules::validate(); its tenant is set. The answer has the rule's new version.
[[nodiscard]] Result<rules::v1::Rule> create_rule(postgres::Connection& connection, const rules::v1::Rule& rule);
/// kConflict where the present version is another than `rule.version` (0: any).
[[nodiscard]] Result<rules::v1::Rule> update_rule(postgres::Connection& connection, const rules::v1::Rule& rule);
[[nodiscard]] Status delete_rule(postgres::Connection& connection, const std::string& tenant, const std::string& rule);
/// Of a tenant that is deleted.
[[nodiscard]] Status delete_rules_of(postgres::Connection& connection, const std::string& tenant);

[[nodiscard]] Result<rules::v1::Rule> get_rule(postgres::Connection& connection, const std::string& tenant,
                                               const std::string& rule);
/// By rule id, those behind `after`.
[[nodiscard]] Result<v1::ListRulesResponse> list_rules(postgres::Connection& connection, const std::string& tenant,
                                                       const std::string& after, int limit);

}  // namespace millrace::registry
