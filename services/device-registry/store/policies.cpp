#include "store/policies.hpp"

#include "store/outbox.hpp"
#include "store/tenants.hpp"

namespace millrace::registry {
namespace {

using postgres::Connection;
using postgres::Params;

}  // namespace

Status set_policy(Connection& connection, const v1::PolicyEntry& policy) {
  if (auto status = lock_tenant(connection, policy.tenant()); !status.ok()) return status;
  const bool is_default =
      policy.device_topics().empty() && !policy.receipts() && policy.ack_level() != v1::ACK_LEVEL_STORED;
  if (is_default) return delete_policy(connection, policy.tenant());
  auto done = connection.exec(
      "INSERT INTO registry.tenant_policy (tenant, entry) VALUES ($1, $2::bytea)"
      " ON CONFLICT (tenant) DO UPDATE SET entry = excluded.entry",
      Params{}.text(policy.tenant()).bytea(policy.SerializeAsString()));
  if (!done.ok()) return done.error();
  v1::Entry published;
  *published.mutable_policy() = policy;
  return Outbox(connection).put(policy_entry_key(policy.tenant()), published);
}

Result<v1::PolicyEntry> get_policy(Connection& connection, const std::string& tenant) {
  auto rows = connection.exec("SELECT entry FROM registry.tenant_policy WHERE tenant = $1", Params{}.text(tenant));
  if (!rows.ok()) return rows.error();
  v1::PolicyEntry policy;
  policy.set_tenant(tenant);
  if (rows->empty()) {
    const auto exists = get_tenant(connection, tenant);
    if (!exists.ok()) return exists.error();
    return policy;
  }
  if (!policy.ParseFromString(std::string(rows->text(0, 0))))
    return Error{ErrorKind::kCorrupt, "the policy of tenant '" + tenant + "' cannot be read"};
  return policy;
}

Status delete_policy(Connection& connection, const std::string& tenant) {
  auto gone = connection.exec("DELETE FROM registry.tenant_policy WHERE tenant = $1", Params{}.text(tenant));
  if (!gone.ok()) return gone.error();
  return gone->affected() == 0 ? Status{} : Outbox(connection).remove(policy_entry_key(tenant));
}

}  // namespace millrace::registry
