#include "store/rules.hpp"

#include "store/outbox.hpp"
#include "store/page_token.hpp"
#include "store/tenants.hpp"

namespace millrace::registry {
namespace {

using postgres::Connection;
using postgres::Params;

constexpr const char* kColumns =
    "tenant, rule, version, metric, device_prefix, raise, clear, severity, description, enabled, created_version";

rules::v1::Rule rule_at(const postgres::Rows& rows, int row) {
  rules::v1::Rule rule;
  rule.set_tenant(std::string(rows.text(row, 0)));
  rule.set_rule(std::string(rows.text(row, 1)));
  rule.set_version(rows.integer(row, 2));
  rule.set_metric(std::string(rows.text(row, 3)));
  rule.set_device_prefix(std::string(rows.text(row, 4)));
  rule.set_raise(std::string(rows.text(row, 5)));
  rule.set_clear(std::string(rows.text(row, 6)));
  rule.set_severity(static_cast<rules::v1::Severity>(rows.integer(row, 7)));
  rule.set_description(std::string(rows.text(row, 8)));
  rule.set_enabled(rows.boolean(row, 9));
  rule.set_created_version(rows.integer(row, 10));
  return rule;
}

Params values_of(const rules::v1::Rule& rule) {
  Params params;
  params.text(rule.tenant()).text(rule.rule()).text(rule.metric()).text(rule.device_prefix()).text(rule.raise());
  params.text(rule.clear()).integer(rule.severity()).text(rule.description()).boolean(rule.enabled());
  return params;
}

Error no_rule(const std::string& rule) { return {ErrorKind::kNotFound, "there is no rule '" + rule + "'"}; }

// A version is drawn before an INSERT waits for another transaction on the same id, so without this it could come into
// the topic behind a greater one; and the limit is counted.
Status lock_rules(Connection& connection, const std::string& tenant) { return lock_tenant(connection, tenant); }

// Of the tenant, and of the metric: each reading is shown to all rules of its metric, so their number bounds what one
// message can cost stream-processing.
Status check_room(Connection& connection, const rules::v1::Rule& rule) {
  auto count = connection.exec(
      "SELECT count(*), count(*) FILTER (WHERE metric = $2) FROM registry.rule WHERE tenant = $1 AND rule <> $3",
      Params{}.text(rule.tenant()).text(rule.metric()).text(rule.rule()));
  if (!count.ok()) return count.error();
  if (count->integer(0, 0) >= kMostRules)
    return Error{ErrorKind::kThrottled, "a tenant has at most " + std::to_string(kMostRules) + " rules"};
  if (count->integer(0, 1) >= kMostRulesOfMetric)
    return Error{ErrorKind::kThrottled, "a metric has at most " + std::to_string(kMostRulesOfMetric) +
                                            " rules of a tenant; '" + rule.metric() + "' has as many"};
  return {};
}

Result<rules::v1::Rule> announce(Connection& connection, rules::v1::Rule rule) {
  if (auto status = Outbox(connection).put_rule(rule); !status.ok()) return status.error();
  return rule;
}

}  // namespace

Result<rules::v1::Rule> create_rule(Connection& connection, const rules::v1::Rule& rule) {
  if (auto locked = lock_rules(connection, rule.tenant()); !locked.ok()) return locked.error();
  if (auto room = check_room(connection, rule); !room.ok()) return room.error();
  auto rows = connection.exec(
      std::string(
          "INSERT INTO registry.rule (tenant, rule, metric, device_prefix, raise, clear, severity, description,"
          " enabled, version, created_version) SELECT $1, $2, $3, $4, $5, $6, $7::int2, $8, $9::boolean, next, next"
          " FROM nextval('registry.rule_version_seq') AS next ON CONFLICT DO NOTHING RETURNING ") +
          kColumns,
      values_of(rule));
  if (!rows.ok()) return rows.error();
  if (rows->empty()) return Error{ErrorKind::kAlreadyExists, "rule '" + rule.rule() + "' exists already"};
  return announce(connection, rule_at(*rows, 0));
}

Result<rules::v1::Rule> update_rule(Connection& connection, const rules::v1::Rule& rule) {
  if (auto locked = lock_rules(connection, rule.tenant()); !locked.ok()) return locked.error();
  auto present = connection.exec("SELECT version FROM registry.rule WHERE tenant = $1 AND rule = $2",
                                 Params{}.text(rule.tenant()).text(rule.rule()));
  if (!present.ok()) return present.error();
  if (present->empty()) return no_rule(rule.rule());
  if (rule.version() != 0 && rule.version() != present->integer(0, 0)) {
    return Error{ErrorKind::kConflict, "rule '" + rule.rule() + "' is at version " +
                                           std::to_string(present->integer(0, 0)) + " now, not at " +
                                           std::to_string(rule.version()) + "; look at it again"};
  }
  if (auto room = check_room(connection, rule); !room.ok()) return room.error();
  auto rows = connection.exec(
      std::string(
          "UPDATE registry.rule SET metric = $3, device_prefix = $4, raise = $5, clear = $6, severity = $7::int2,"
          " description = $8, enabled = $9::boolean, version = nextval('registry.rule_version_seq')"
          " WHERE tenant = $1 AND rule = $2 RETURNING ") +
          kColumns,
      values_of(rule));
  if (!rows.ok()) return rows.error();
  return announce(connection, rule_at(*rows, 0));
}

Status delete_rule(Connection& connection, const std::string& tenant, const std::string& rule) {
  if (auto locked = lock_rules(connection, tenant); !locked.ok()) return locked;
  auto gone =
      connection.exec("DELETE FROM registry.rule WHERE tenant = $1 AND rule = $2", Params{}.text(tenant).text(rule));
  if (!gone.ok()) return gone.error();
  if (gone->affected() == 0) return no_rule(rule);
  return Outbox(connection).remove_rule(tenant, rule);
}

Status delete_rules_of(Connection& connection, const std::string& tenant) {
  auto gone = connection.exec("DELETE FROM registry.rule WHERE tenant = $1 RETURNING rule", Params{}.text(tenant));
  if (!gone.ok()) return gone.error();
  Outbox outbox(connection);
  for (int i = 0; i < gone->size(); ++i) {
    if (auto status = outbox.remove_rule(tenant, std::string(gone->text(i, 0))); !status.ok()) return status;
  }
  return {};
}

Result<rules::v1::Rule> get_rule(Connection& connection, const std::string& tenant, const std::string& rule) {
  auto rows = connection.exec(std::string("SELECT ") + kColumns + " FROM registry.rule WHERE tenant = $1 AND rule = $2",
                              Params{}.text(tenant).text(rule));
  if (!rows.ok()) return rows.error();
  if (rows->empty()) return no_rule(rule);
  return rule_at(*rows, 0);
}

Result<v1::ListRulesResponse> list_rules(Connection& connection, const std::string& tenant, const std::string& after,
                                         int limit) {
  auto rows = connection.exec(std::string("SELECT ") + kColumns +
                                  " FROM registry.rule WHERE tenant = $1 AND rule > $2 ORDER BY rule LIMIT $3::int8",
                              Params{}.text(tenant).text(after).integer(limit + 1));
  if (!rows.ok()) return rows.error();
  v1::ListRulesResponse response;
  for (int i = 0; i < std::min(rows->size(), limit); ++i) *response.add_rules() = rule_at(*rows, i);
  if (rows->size() > limit) response.set_next_page_token(page_token_after(response.rules().rbegin()->rule()));
  return response;
}

}  // namespace millrace::registry
