#include "store/device_types.hpp"

#include <millrace/base/ids.hpp>
#include <millrace/telemetry/message_schema.hpp>

#include "store/devices.hpp"
#include "store/outbox.hpp"
#include "store/retention.hpp"
#include "store/tenants.hpp"

namespace millrace::registry {
namespace {

using postgres::Connection;
using postgres::Params;

constexpr std::size_t kMostZeroIsAbsent = 100;

Error no_type(const std::string& tenant, const std::string& type) {
  return {ErrorKind::kNotFound, "there is no device type '" + type + "' in tenant " + tenant};
}

v1::DeviceType without_descriptor(const v1::DeviceTypeEntry& entry) {
  v1::DeviceType type;
  type.set_tenant(entry.tenant());
  type.set_type(entry.type());
  type.set_format(entry.format());
  type.set_message(entry.message());
  type.set_descriptor_set_bytes(static_cast<std::int32_t>(entry.descriptor_set().size()));
  return type;
}

Result<v1::DeviceTypeEntry> entry_at(const postgres::Rows& rows, int row, const std::string& tenant) {
  v1::DeviceTypeEntry entry;
  if (entry.ParseFromString(std::string(rows.text(row, 1)))) return entry;
  return Error{ErrorKind::kCorrupt,
               "device type '" + std::string(rows.text(row, 0)) + "' of tenant '" + tenant + "' cannot be read"};
}

// After lock_tenant().
Status check_room(Connection& connection, const v1::DeviceTypeEntry& type) {
  auto others = connection.exec("SELECT count(*) FROM registry.device_type WHERE tenant = $1 AND type <> $2",
                                Params{}.text(type.tenant()).text(type.type()));
  if (!others.ok()) return others.error();
  if (others->integer(0, 0) < kMostTypes) return {};
  return Error{ErrorKind::kThrottled,
               "a tenant has at most " + std::to_string(kMostTypes) + " device types; delete one that no device has"};
}

}  // namespace

Status check_type_name(const std::string& type) { return type.empty() ? Status{} : check_id("device type", type); }

Result<v1::DeviceType> check_type(const v1::DeviceTypeEntry& type) {
  if (auto valid = check_id("device type", type.type()); !valid.ok()) return valid.error();
  if (type.format() < v1::PAYLOAD_FORMAT_JSON || type.format() > v1::PAYLOAD_FORMAT_TEXT) {
    return Error{ErrorKind::kInvalid, "type.format must be json, cbor, senml_json, senml_cbor, protobuf or text"};
  }
  v1::DeviceType checked = without_descriptor(type);
  if (type.descriptor_set().empty()) {
    if (type.message().empty()) return checked;
    return Error{ErrorKind::kInvalid, "type.message says nothing without type.descriptor_set"};
  }
  const auto schema = telemetry::MessageSchema::build(type.descriptor_set(), type.message());
  if (!schema.ok()) return Error{ErrorKind::kInvalid, "type.descriptor_set: " + schema.error().message};
  for (std::string& name : (*schema)->zero_is_absent(kMostZeroIsAbsent)) checked.add_zero_is_absent(std::move(name));
  return checked;
}

Status set_type(Connection& connection, const v1::DeviceTypeEntry& type) {
  if (auto status = lock_tenant(connection, type.tenant()); !status.ok()) return status;
  if (auto status = check_room(connection, type); !status.ok()) return status;
  auto done = connection.exec(
      "INSERT INTO registry.device_type (tenant, type, entry) VALUES ($1, $2, $3::bytea)"
      " ON CONFLICT (tenant, type) DO UPDATE SET entry = excluded.entry",
      Params{}.text(type.tenant()).text(type.type()).bytea(type.SerializeAsString()));
  if (!done.ok()) return done.error();
  v1::Entry published;
  *published.mutable_type() = type;
  return Outbox(connection).put(type_entry_key(type.tenant(), type.type()), published);
}

Result<v1::DeviceTypeEntry> get_type(Connection& connection, const std::string& tenant, const std::string& type) {
  auto rows = connection.exec("SELECT type, entry FROM registry.device_type WHERE tenant = $1 AND type = $2",
                              Params{}.text(tenant).text(type));
  if (!rows.ok()) return rows.error();
  if (rows->empty()) return no_type(tenant, type);
  return entry_at(*rows, 0, tenant);
}

Result<v1::ListDeviceTypesResponse> list_types(Connection& connection, const std::string& tenant) {
  auto rows = connection.exec("SELECT type, entry FROM registry.device_type WHERE tenant = $1 ORDER BY type",
                              Params{}.text(tenant));
  if (!rows.ok()) return rows.error();
  if (rows->empty()) {
    if (auto exists = get_tenant(connection, tenant); !exists.ok()) return exists.error();
  }
  v1::ListDeviceTypesResponse response;
  for (int i = 0; i < rows->size(); ++i) {
    auto entry = entry_at(*rows, i, tenant);
    if (!entry.ok()) return entry.error();
    *response.add_types() = without_descriptor(*entry);
  }
  return response;
}

Status delete_type(Connection& connection, const std::string& tenant, const std::string& type) {
  if (auto status = lock_tenant(connection, tenant); !status.ok()) return status;
  // Nobody gives it to a device until this transaction ends.
  auto rows = connection.exec("SELECT 1 FROM registry.device_type WHERE tenant = $1 AND type = $2 FOR UPDATE",
                              Params{}.text(tenant).text(type));
  if (!rows.ok()) return rows.error();
  if (rows->empty()) return no_type(tenant, type);
  auto devices = connection.exec("SELECT device FROM registry.device WHERE tenant = $1 AND type = $2 LIMIT 1",
                                 Params{}.text(tenant).text(type));
  if (!devices.ok()) return devices.error();
  if (!devices->empty()) {
    return Error{ErrorKind::kPrecondition, "device type '" + type + "' is that of device '" +
                                               std::string(devices->text(0, 0)) +
                                               "' and maybe others; give them another type or none first"};
  }
  auto gone = connection.exec("DELETE FROM registry.device_type WHERE tenant = $1 AND type = $2",
                              Params{}.text(tenant).text(type));
  if (!gone.ok()) return gone.error();
  if (auto kept = set_retention(connection, tenant, type, std::nullopt); !kept.ok()) return kept.error();
  return Outbox(connection).remove(type_entry_key(tenant, type));
}

Status delete_types_of(Connection& connection, const std::string& tenant) {
  auto gone =
      connection.exec("DELETE FROM registry.device_type WHERE tenant = $1 RETURNING type", Params{}.text(tenant));
  if (!gone.ok()) return gone.error();
  for (int i = 0; i < gone->size(); ++i) {
    const std::string key = type_entry_key(tenant, std::string(gone->text(i, 0)));
    if (auto status = Outbox(connection).remove(key); !status.ok()) return status;
  }
  return {};
}

Result<v1::Device> set_type_of_device(Connection& connection, const std::string& tenant, const std::string& device,
                                      const std::string& type) {
  if (!type.empty()) {
    auto known = connection.exec("SELECT 1 FROM registry.device_type WHERE tenant = $1 AND type = $2 FOR KEY SHARE",
                                 Params{}.text(tenant).text(type));
    if (!known.ok()) return known.error();
    if (known->empty()) return no_type(tenant, type);
  }
  auto changed = connection.exec("UPDATE registry.device SET type = nullif($3, '') WHERE tenant = $1 AND device = $2",
                                 Params{}.text(tenant).text(device).text(type));
  if (!changed.ok()) return changed.error();
  auto now = get_device(connection, tenant, device);
  if (!now.ok()) return now.error();
  if (auto status = publish_device(connection, *now); !status.ok()) return status.error();
  return now;
}

}  // namespace millrace::registry
