#include "store/devices.hpp"

#include <nlohmann/json.hpp>

#include <millrace/base/digest.hpp>

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
    " (SELECT count(*) FROM registry.device_token t WHERE t.device_key = d.device_key) FROM registry.device d ";

Error no_device(const std::string& tenant, const std::string& device) {
  return {ErrorKind::kNotFound, "there is no device '" + device + "' in tenant " + tenant};
}

// The device with its tokens as they are now, for the topic.
Status publish(Connection& connection, Outbox& outbox, const v1::Device& device) {
  auto tokens = connection.exec(
      "SELECT sha256 FROM registry.device_token WHERE device_key = $1::int4 ORDER BY created_at, sha256",
      Params{}.integer(device.device_key()));
  if (!tokens.ok()) return tokens.error();
  v1::Entry entry = entry_of(device);
  for (int i = 0; i < tokens->size(); ++i) entry.mutable_device()->add_token_sha256(std::string(tokens->text(i, 0)));
  return outbox.put(device_entry_key(device.tenant(), device.device()), entry);
}

}  // namespace

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
  Outbox outbox(connection);
  if (auto status = publish(connection, outbox, *now); !status.ok()) return status.error();
  return now;
}

Result<std::string> add_device_token(Connection& connection, const std::string& tenant, const std::string& device) {
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
  Outbox outbox(connection);
  if (auto status = publish(connection, outbox, *now); !status.ok()) return status.error();
  return token;
}

Status delete_device(Connection& connection, const std::string& tenant, const std::string& device) {
  if (auto status = delete_limits(connection, tenant, device); !status.ok()) return status;
  auto gone = connection.exec("DELETE FROM registry.device WHERE tenant = $1 AND device = $2",
                              Params{}.text(tenant).text(device));
  if (!gone.ok()) return gone.error();
  if (gone->affected() == 0) return no_device(tenant, device);
  return Outbox(connection).remove(device_entry_key(tenant, device));
}

}  // namespace millrace::registry
