#include "store/devices.hpp"

#include <nlohmann/json.hpp>

#include <millrace/base/digest.hpp>

#include "store/credentials_entry.hpp"
#include "store/device_rows.hpp"
#include "store/limits.hpp"
#include "store/outbox.hpp"
#include "store/page_token.hpp"

namespace millrace::registry {
namespace {

using postgres::Connection;
using postgres::Params;

constexpr const char* kSelect =
    "SELECT d.tenant, d.device, d.device_key, d.enabled, d.created_at, d.attributes::text,"
    " (SELECT count(*) FROM registry.device_token t WHERE t.device_key = d.device_key AND t.credential IS NULL), d.type"
    " FROM registry.device d ";

Error no_device(const std::string& tenant, const std::string& device) {
  return {ErrorKind::kNotFound, "there is no device '" + device + "' in tenant " + tenant};
}

// Takes the device out of the count of the authority that made it, if one did.
Status forget_provisioning(Connection& connection, const std::string& tenant, const postgres::Rows& device) {
  if (device.is_null(0, 1)) return {};
  auto counted = connection.exec(
      "UPDATE registry.authority SET provisioned = provisioned - 1"
      " WHERE tenant = $1 AND authority = $2 AND provisioned > 0",
      Params{}.text(tenant).text(device.text(0, 1)));
  return counted.ok() ? Status{} : Status(counted.error());
}

}  // namespace

Result<std::int32_t> lock_device(Connection& connection, const std::string& tenant, const std::string& device) {
  auto rows =
      connection.exec("SELECT device_key FROM registry.device WHERE tenant = $1 AND device = $2 FOR NO KEY UPDATE",
                      Params{}.text(tenant).text(device));
  if (!rows.ok()) return rows.error();
  if (rows->empty()) return no_device(tenant, device);
  return static_cast<std::int32_t>(rows->integer(0, 0));
}

Status publish_device(Connection& connection, const v1::Device& device) {
  auto tokens = connection.exec(
      "SELECT sha256 FROM registry.device_token WHERE device_key = $1::int4 AND credential IS NULL"
      " ORDER BY created_at, sha256",
      Params{}.integer(device.device_key()));
  if (!tokens.ok()) return tokens.error();
  v1::Entry entry = entry_of(device);
  for (int i = 0; i < tokens->size(); ++i) entry.mutable_device()->add_token_sha256(std::string(tokens->text(i, 0)));
  return Outbox(connection).put(device_entry_key(device.tenant(), device.device()), entry);
}

Status check_attributes(const std::string& json) {
  if (json.empty()) return {};
  if (json.size() > kMaxAttributesBytes) {
    return Error{ErrorKind::kInvalid,
                 "attributes_json is longer than " + std::to_string(kMaxAttributesBytes) + " bytes"};
  }
  const auto parsed = nlohmann::json::parse(json, nullptr, false);
  if (!parsed.is_object()) return Error{ErrorKind::kInvalid, "attributes_json is not a JSON object"};
  if (json.find("\\u0000") != std::string::npos) return Error{ErrorKind::kInvalid, "attributes_json holds U+0000"};
  return {};
}

Status check_token_digest(const std::string& sha256) {
  if (sha256.empty() || sha256.size() == std::tuple_size_v<Sha256>) return {};
  return Error{ErrorKind::kInvalid, "token_sha256 is not 32 bytes long"};
}

Result<v1::Device> get_device(Connection& connection, const std::string& tenant, const std::string& device) {
  auto rows = connection.exec(std::string(kSelect) + "WHERE d.tenant = $1 AND d.device = $2",
                              Params{}.text(tenant).text(device));
  if (!rows.ok()) return rows.error();
  if (rows->empty()) return no_device(tenant, device);
  return device_at(*rows, 0);
}

Result<v1::ListDevicesResponse> list_devices(Connection& connection, const std::string& tenant,
                                             const std::string& prefix, const std::string& after, int limit) {
  auto rows = connection.exec(
      std::string(kSelect) +
          "WHERE d.tenant = $1 AND d.device > $2 AND starts_with(d.device, $3) ORDER BY d.device LIMIT $4::int8",
      Params{}.text(tenant).text(after).text(prefix).integer(limit + 1));
  if (!rows.ok()) return rows.error();
  v1::ListDevicesResponse response;
  for (int i = 0; i < std::min(rows->size(), limit); ++i) *response.add_devices() = device_at(*rows, i);
  if (rows->size() > limit) response.set_next_page_token(page_token_after(response.devices().rbegin()->device()));
  return response;
}

Result<v1::Device> set_device_enabled(Connection& connection, const std::string& tenant, const std::string& device,
                                      Enabled enabled) {
  auto changed = connection.exec("UPDATE registry.device SET enabled = $3::boolean WHERE tenant = $1 AND device = $2",
                                 Params{}.text(tenant).text(device).boolean(enabled == Enabled::kYes));
  if (!changed.ok()) return changed.error();
  auto now = get_device(connection, tenant, device);
  if (!now.ok()) return now.error();
  if (auto status = publish_device(connection, *now); !status.ok()) return status.error();
  return now;
}

Result<std::string> add_device_token(Connection& connection, const std::string& tenant, const std::string& device) {
  if (auto locked = lock_device(connection, tenant, device); !locked.ok()) return locked.error();
  auto now = get_device(connection, tenant, device);
  if (!now.ok()) return now.error();
  if (now->tokens() >= kMaxTokens) {
    return Error{ErrorKind::kConflict, "device '" + device + "' has " + std::to_string(kMaxTokens) + " tokens already"};
  }
  std::string token = new_token();
  const Sha256 digest = sha256(token);
  auto stored = connection.exec("INSERT INTO registry.device_token (device_key, sha256) VALUES ($1::int4, $2::bytea)",
                                Params{}.integer(now->device_key()).bytea(bytes_of(digest)));
  if (!stored.ok()) return stored.error();
  if (auto status = publish_device(connection, *now); !status.ok()) return status.error();
  return token;
}

Status delete_device(Connection& connection, const std::string& tenant, const std::string& device) {
  // Before the outbox: whoever changes the device has its row first, and the outbox then.
  auto rows = connection.exec(
      "SELECT device_key, provisioned_by FROM registry.device WHERE tenant = $1 AND device = $2 FOR UPDATE",
      Params{}.text(tenant).text(device));
  if (!rows.ok()) return rows.error();
  if (rows->empty()) return no_device(tenant, device);
  if (auto status = forget_provisioning(connection, tenant, *rows); !status.ok()) return status;
  if (auto status = delete_limits(connection, tenant, device); !status.ok()) return status;
  const auto key = static_cast<std::int32_t>(rows->integer(0, 0));
  if (auto status = retire_credentials(connection, {key, tenant, device}); !status.ok()) return status;
  auto gone = connection.exec("DELETE FROM registry.device WHERE device_key = $1::int4", Params{}.integer(key));
  if (!gone.ok()) return gone.error();
  return Outbox(connection).remove(device_entry_key(tenant, device));
}

}  // namespace millrace::registry
