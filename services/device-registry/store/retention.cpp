#include "store/retention.hpp"

#include <algorithm>

#include "store/device_types.hpp"
#include "store/outbox.hpp"
#include "store/tenants.hpp"

namespace millrace::registry {
namespace {

using postgres::Connection;
using postgres::Params;

void put_type(v1::RetentionEntry& entry, const std::string& type, std::optional<std::int32_t> days) {
  auto& types = *entry.mutable_types();
  const auto found = std::find_if(types.begin(), types.end(), [&](const auto& one) { return one.type() == type; });
  if (!days) {
    if (found != types.end()) types.erase(found);
    return;
  }
  v1::TypeRetention& one = found != types.end() ? *found : *entry.add_types();
  one.set_type(type);
  one.set_days(*days);
  std::sort(types.begin(), types.end(), [](const auto& a, const auto& b) { return a.type() < b.type(); });
}

Status save(Connection& connection, const v1::RetentionEntry& entry) {
  if (entry.days() == 0 && entry.types().empty()) return delete_retention(connection, entry.tenant());
  auto done = connection.exec(
      "INSERT INTO registry.tenant_retention (tenant, entry) VALUES ($1, $2::bytea)"
      " ON CONFLICT (tenant) DO UPDATE SET entry = excluded.entry",
      Params{}.text(entry.tenant()).bytea(entry.SerializeAsString()));
  if (!done.ok()) return done.error();
  v1::Entry published;
  *published.mutable_retention() = entry;
  return Outbox(connection).put(retention_entry_key(entry.tenant()), published);
}

}  // namespace

Status check_retention_days(std::optional<std::int32_t> days) {
  if (!days || (*days >= 0 && *days <= kMostRetentionDays)) return {};
  return Error{ErrorKind::kInvalid, "days must be 1 to " + std::to_string(kMostRetentionDays) +
                                        ", or 0 for ever; it is " + std::to_string(*days)};
}

Result<v1::RetentionEntry> set_retention(Connection& connection, const std::string& tenant, const std::string& type,
                                         std::optional<std::int32_t> days) {
  if (auto status = lock_tenant(connection, tenant); !status.ok()) return status.error();
  auto entry = get_retention(connection, tenant);
  if (!entry.ok()) return entry.error();
  if (type.empty()) {
    entry->set_days(days.value_or(0));
  } else {
    if (days) {
      if (auto known = get_type(connection, tenant, type); !known.ok()) return known.error();
    }
    put_type(*entry, type, days);
  }
  if (auto saved = save(connection, *entry); !saved.ok()) return saved.error();
  return entry;
}

Result<v1::RetentionEntry> get_retention(Connection& connection, const std::string& tenant) {
  auto rows = connection.exec("SELECT entry FROM registry.tenant_retention WHERE tenant = $1", Params{}.text(tenant));
  if (!rows.ok()) return rows.error();
  v1::RetentionEntry entry;
  entry.set_tenant(tenant);
  if (rows->empty()) {
    const auto exists = get_tenant(connection, tenant);
    if (!exists.ok()) return exists.error();
    return entry;
  }
  if (!entry.ParseFromString(std::string(rows->text(0, 0))))
    return Error{ErrorKind::kCorrupt, "the retention of tenant '" + tenant + "' cannot be read"};
  return entry;
}

Status delete_retention(Connection& connection, const std::string& tenant) {
  auto gone = connection.exec("DELETE FROM registry.tenant_retention WHERE tenant = $1", Params{}.text(tenant));
  if (!gone.ok()) return gone.error();
  return gone->affected() == 0 ? Status{} : Outbox(connection).remove(retention_entry_key(tenant));
}

}  // namespace millrace::registry
