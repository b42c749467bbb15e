#include "store/tenants.hpp"

#include "store/authorities.hpp"
#include "store/device_types.hpp"
#include "store/limits.hpp"
#include "store/outbox.hpp"
#include "store/page_token.hpp"
#include "store/policies.hpp"
#include "store/retention.hpp"
#include "store/rules.hpp"
#include "store/webhooks.hpp"

namespace millrace::registry {
namespace {

constexpr const char* kColumns = "tenant, tenant_key, enabled, created_at";

v1::Tenant tenant_at(const postgres::Rows& rows, int row) {
  v1::Tenant tenant;
  tenant.set_tenant(std::string(rows.text(row, 0)));
  tenant.set_tenant_key(static_cast<std::int32_t>(rows.integer(row, 1)));
  tenant.set_enabled(rows.boolean(row, 2));
  tenant.set_created_at_us(rows.timestamptz(row, 3));
  return tenant;
}

Error no_tenant(const std::string& tenant) { return {ErrorKind::kNotFound, "there is no tenant '" + tenant + "'"}; }

}  // namespace

Result<v1::Tenant> create_tenant(postgres::Connection& connection, const std::string& tenant) {
  auto rows = connection.exec(
      std::string("INSERT INTO registry.tenant (tenant) VALUES ($1) ON CONFLICT DO NOTHING RETURNING ") + kColumns,
      postgres::Params{}.text(tenant));
  if (!rows.ok()) return rows.error();
  if (rows->empty()) return Error{ErrorKind::kAlreadyExists, "tenant '" + tenant + "' exists already"};
  auto former =
      connection.exec("SELECT 1 FROM registry.former_tenant WHERE tenant = $1", postgres::Params{}.text(tenant));
  if (!former.ok()) return former.error();
  if (!former->empty())
    return Error{ErrorKind::kPrecondition,
                 "there was a tenant '" + tenant +
                     "', whose readings and alerts may still be stored: its id is not given again"};
  v1::Tenant created = tenant_at(*rows, 0);
  v1::Entry entry;
  entry.mutable_tenant()->set_tenant(tenant);
  entry.mutable_tenant()->set_tenant_key(created.tenant_key());
  entry.mutable_tenant()->set_enabled(true);
  if (auto status = Outbox(connection).put(tenant_entry_key(tenant), entry); !status.ok()) return status.error();
  return created;
}

Result<v1::Tenant> get_tenant(postgres::Connection& connection, const std::string& tenant) {
  auto rows = connection.exec(std::string("SELECT ") + kColumns + " FROM registry.tenant WHERE tenant = $1",
                              postgres::Params{}.text(tenant));
  if (!rows.ok()) return rows.error();
  if (rows->empty()) return no_tenant(tenant);
  return tenant_at(*rows, 0);
}

Result<v1::ListTenantsResponse> list_tenants(postgres::Connection& connection, const std::string& after, int limit) {
  auto rows = connection.exec(
      std::string("SELECT ") + kColumns + " FROM registry.tenant WHERE tenant > $1 ORDER BY tenant LIMIT $2::int8",
      postgres::Params{}.text(after).integer(limit + 1));
  if (!rows.ok()) return rows.error();
  v1::ListTenantsResponse response;
  for (int i = 0; i < std::min(rows->size(), limit); ++i) *response.add_tenants() = tenant_at(*rows, i);
  if (rows->size() > limit) response.set_next_page_token(page_token_after(response.tenants().rbegin()->tenant()));
  return response;
}

Status lock_tenant(postgres::Connection& connection, const std::string& tenant) {
  auto rows = connection.exec("SELECT 1 FROM registry.tenant WHERE tenant = $1 FOR NO KEY UPDATE",
                              postgres::Params{}.text(tenant));
  if (!rows.ok()) return rows.error();
  return rows->empty() ? no_tenant(tenant) : Status{};
}

Status delete_tenant(postgres::Connection& connection, const std::string& tenant) {
  // Before the outbox: whoever changes what belongs to the tenant has its row first, and the outbox then.
  auto locked =
      connection.exec("SELECT 1 FROM registry.tenant WHERE tenant = $1 FOR UPDATE", postgres::Params{}.text(tenant));
  if (!locked.ok()) return locked.error();
  auto devices =
      connection.exec("SELECT 1 FROM registry.device WHERE tenant = $1 LIMIT 1", postgres::Params{}.text(tenant));
  if (!devices.ok()) return devices.error();
  if (!devices->empty())
    return Error{ErrorKind::kConflict, "tenant '" + tenant + "' still has devices; delete them first"};
  auto keys = connection.exec("SELECT key_id FROM registry.api_key WHERE tenant = $1", postgres::Params{}.text(tenant));
  if (!keys.ok()) return keys.error();
  if (auto status = delete_rules_of(connection, tenant); !status.ok()) return status;
  if (auto status = delete_webhook(connection, tenant); !status.ok() && status.error().kind != ErrorKind::kNotFound)
    return status;
  if (auto status = delete_limits(connection, tenant, ""); !status.ok()) return status;
  if (auto status = delete_authorities_of(connection, tenant); !status.ok()) return status;
  if (auto status = delete_policy(connection, tenant); !status.ok()) return status;
  if (auto status = delete_retention(connection, tenant); !status.ok()) return status;
  if (auto status = delete_types_of(connection, tenant); !status.ok()) return status;
  auto gone = connection.exec("DELETE FROM registry.tenant WHERE tenant = $1", postgres::Params{}.text(tenant));
  if (!gone.ok()) return gone.error();
  if (gone->affected() == 0) return no_tenant(tenant);
  auto kept =
      connection.exec("INSERT INTO registry.former_tenant (tenant) VALUES ($1)", postgres::Params{}.text(tenant));
  if (!kept.ok()) return kept.error();
  Outbox outbox(connection);
  for (int i = 0; i < keys->size(); ++i) {
    if (auto status = outbox.remove(api_key_entry_key(std::string(keys->text(i, 0)))); !status.ok()) return status;
  }
  return outbox.remove(tenant_entry_key(tenant));
}

}  // namespace millrace::registry
