#include "store/provisioning.hpp"

#include <vector>

#include "store/device_rows.hpp"
#include "store/devices.hpp"
#include "store/outbox.hpp"

namespace millrace::registry {
namespace {

using postgres::Connection;
using postgres::Params;

Error full(const v1::AuthorityEntry& authority) {
  return {ErrorKind::kPrecondition, "authority '" + authority.authority() + "' has made " +
                                        std::to_string(authority.most_provisioned()) +
                                        " devices, as many as it may (most_provisioned)"};
}

Error changed(const v1::AuthorityEntry& authority) {
  return {ErrorKind::kConflict, "authority '" + authority.authority() + "' has been changed meanwhile; try again"};
}

// Before a device key is drawn: a leaf that comes again and again to a full authority uses up none.
Status check_room(Connection& connection, const v1::AuthorityEntry& authority) {
  auto rows = connection.exec("SELECT provisioned FROM registry.authority WHERE tenant = $1 AND authority = $2",
                              Params{}.text(authority.tenant()).text(authority.authority()));
  if (!rows.ok()) return rows.error();
  if (rows->empty()) return changed(authority);
  const bool bounded = authority.most_provisioned() > 0;
  return bounded && rows->integer(0, 0) >= authority.most_provisioned() ? full(authority) : Status{};
}

// Counts one more if the authority is still as the leaf was checked by it. Whoever comes at the same time waits for the
// row, and then sees the count that the first one left.
Status count_one(Connection& connection, const v1::AuthorityEntry& authority) {
  auto counted = connection.exec(
      "UPDATE registry.authority SET provisioned = provisioned + 1"
      " WHERE tenant = $1 AND authority = $2 AND entry = $3::bytea RETURNING provisioned",
      Params{}.text(authority.tenant()).text(authority.authority()).bytea(authority.SerializeAsString()));
  if (!counted.ok()) return counted.error();
  if (counted->empty()) return changed(authority);
  const bool bounded = authority.most_provisioned() > 0;
  return bounded && counted->integer(0, 0) > authority.most_provisioned() ? full(authority) : Status{};
}

Result<postgres::Rows> insert(Connection& connection, const v1::AuthorityEntry& authority, const std::string& device) {
  return connection.exec(
      "INSERT INTO registry.device (device_key, tenant, device, provisioned_by)"
      " SELECT nextval('registry.device_key_seq')::int4, $1, $2, $3"
      " WHERE NOT EXISTS (SELECT FROM registry.device WHERE tenant = $1 AND device = $2)"
      " ON CONFLICT (tenant, device) DO NOTHING"
      " RETURNING tenant, device, device_key, enabled, created_at, attributes::text, 0::int8, type",
      Params{}.text(authority.tenant()).text(device).text(authority.authority()));
}

Result<v1::ProvisionDeviceResponse> existing(Connection& connection, const std::string& tenant,
                                             const std::string& device) {
  auto now = get_device(connection, tenant, device);
  if (!now.ok()) return now.error();
  v1::ProvisionDeviceResponse response;
  *response.mutable_device() = std::move(*now);
  response.set_existed(true);
  return response;
}

Status publish(Connection& connection, const v1::Device& device) {
  std::vector<OutboxEntry> entries;
  entries.push_back({device_entry_key(device.tenant(), device.device()), entry_of(device)});
  // So that a restored registry knows the keys of devices that are deleted by then.
  entries.push_back({"sequence/device", {}});
  entries.back().entry.mutable_sequence()->set_highest_device_key(device.device_key());
  return Outbox(connection).put_all(std::move(entries));
}

}  // namespace

Result<v1::ProvisionDeviceResponse> provision_device(Connection& connection, const v1::AuthorityEntry& authority,
                                                     const std::string& device) {
  // Somebody else may have made just this device, and with it the last one that there was room for.
  if (auto status = check_room(connection, authority); !status.ok()) {
    auto now = existing(connection, authority.tenant(), device);
    return now.ok() ? now : status.error();
  }
  auto made = insert(connection, authority, device);
  if (!made.ok()) return made.error();
  if (made->empty()) return existing(connection, authority.tenant(), device);
  v1::ProvisionDeviceResponse response;
  if (auto status = count_one(connection, authority); !status.ok()) return status.error();
  *response.mutable_device() = device_at(*made, 0);
  if (auto status = publish(connection, response.device()); !status.ok()) return status.error();
  return response;
}

}  // namespace millrace::registry
