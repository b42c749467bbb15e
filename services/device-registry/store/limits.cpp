#include "store/limits.hpp"

#include <cmath>

#include "store/outbox.hpp"

namespace millrace::registry {
namespace {

using postgres::Connection;
using postgres::Params;

constexpr double kMostPerSecond = 1e12;
constexpr double kMostBurst = 1e15;

Status check_rate(const std::string& name, const v1::RateLimit& rate) {
  if (!std::isfinite(rate.per_second()) || rate.per_second() <= 0 || rate.per_second() > kMostPerSecond)
    return Error{ErrorKind::kInvalid, name + ".per_second must be more than 0 and at most 1e12"};
  if (!std::isfinite(rate.burst()) || rate.burst() < 0 || rate.burst() > kMostBurst)
    return Error{ErrorKind::kInvalid, name + ".burst must be 0 to 1e15"};
  return {};
}

bool is_empty(const v1::Limits& limits) { return limits.ByteSizeLong() == 0; }

/// Whether somebody is limited by it.
bool says_something(const v1::LimitsEntry& entry) {
  return !is_empty(entry.tenant_total()) || !is_empty(entry.device_default()) || !is_empty(entry.device_override());
}

v1::LimitsEntry entry_for(const std::string& tenant, const std::string& device) {
  v1::LimitsEntry entry;
  entry.set_tenant(tenant);
  entry.set_device(device);
  return entry;
}

constexpr const char* kFindTenant = "SELECT 1 FROM registry.tenant WHERE tenant = $1";
constexpr const char* kFindDevice = "SELECT 1 FROM registry.device WHERE tenant = $1 AND device = $2";

Status check_exists(Connection& connection, const std::string& tenant, const std::string& device) {
  auto rows = device.empty() ? connection.exec(kFindTenant, Params{}.text(tenant))
                             : connection.exec(kFindDevice, Params{}.text(tenant).text(device));
  if (!rows.ok()) return rows.error();
  if (!rows->empty()) return {};
  return Error{ErrorKind::kNotFound, device.empty() ? "there is no tenant '" + tenant + "'"
                                                    : "there is no device '" + device + "' in tenant " + tenant};
}

constexpr const char* kSelectTenant = "SELECT entry FROM registry.tenant_limits WHERE tenant = $1";
constexpr const char* kSelectDevice =
    "SELECT l.entry FROM registry.device_limits l JOIN registry.device d USING (device_key)"
    " WHERE d.tenant = $1 AND d.device = $2";
constexpr const char* kPutTenant =
    "INSERT INTO registry.tenant_limits (tenant, entry) VALUES ($1, $2::bytea)"
    " ON CONFLICT (tenant) DO UPDATE SET entry = excluded.entry";
constexpr const char* kPutDevice =
    "INSERT INTO registry.device_limits (device_key, entry)"
    " SELECT device_key, $3::bytea FROM registry.device WHERE tenant = $1 AND device = $2"
    " ON CONFLICT (device_key) DO UPDATE SET entry = excluded.entry";
constexpr const char* kDropTenant = "DELETE FROM registry.tenant_limits WHERE tenant = $1";
constexpr const char* kDropDevice =
    "DELETE FROM registry.device_limits l USING registry.device d"
    " WHERE l.device_key = d.device_key AND d.tenant = $1 AND d.device = $2";

}  // namespace

Status check_limits(const std::string& where, const v1::Limits& limits) {
  if (limits.has_messages()) {
    if (auto status = check_rate(where + ".messages", limits.messages()); !status.ok()) return status;
  }
  if (limits.has_bytes()) {
    if (auto status = check_rate(where + ".bytes", limits.bytes()); !status.ok()) return status;
  }
  if (limits.has_points()) {
    if (auto status = check_rate(where + ".points", limits.points()); !status.ok()) return status;
  }
  if (limits.has_connects()) return check_rate(where + ".connects", limits.connects());
  return {};
}

Result<v1::LimitsEntry> set_limits(Connection& connection, const v1::LimitsEntry& entry) {
  if (auto status = check_exists(connection, entry.tenant(), entry.device()); !status.ok()) return status.error();
  if (!says_something(entry)) {
    if (auto status = delete_limits(connection, entry.tenant(), entry.device()); !status.ok()) return status.error();
    return entry_for(entry.tenant(), entry.device());
  }
  const std::string bytes = entry.SerializeAsString();
  auto done = entry.device().empty()
                  ? connection.exec(kPutTenant, Params{}.text(entry.tenant()).bytea(bytes))
                  : connection.exec(kPutDevice, Params{}.text(entry.tenant()).text(entry.device()).bytea(bytes));
  if (!done.ok()) return done.error();
  v1::Entry published;
  *published.mutable_limits() = entry;
  if (auto status = Outbox(connection).put(limits_entry_key(entry.tenant(), entry.device()), published); !status.ok())
    return status.error();
  return entry;
}

Result<v1::LimitsEntry> get_limits(Connection& connection, const std::string& tenant, const std::string& device) {
  auto rows = device.empty() ? connection.exec(kSelectTenant, Params{}.text(tenant))
                             : connection.exec(kSelectDevice, Params{}.text(tenant).text(device));
  if (!rows.ok()) return rows.error();
  v1::LimitsEntry entry = entry_for(tenant, device);
  if (rows->empty()) {
    if (auto status = check_exists(connection, tenant, device); !status.ok()) return status.error();
    return entry;
  }
  if (!entry.ParseFromString(std::string(rows->text(0, 0))))
    return Error{ErrorKind::kCorrupt, "the limits of " + tenant + "/" + device + " cannot be read"};
  return entry;
}

Status delete_limits(Connection& connection, const std::string& tenant, const std::string& device) {
  auto gone = device.empty() ? connection.exec(kDropTenant, Params{}.text(tenant))
                             : connection.exec(kDropDevice, Params{}.text(tenant).text(device));
  if (!gone.ok()) return gone.error();
  if (gone->affected() == 0) return {};
  return Outbox(connection).remove(limits_entry_key(tenant, device));
}

}  // namespace millrace::registry
