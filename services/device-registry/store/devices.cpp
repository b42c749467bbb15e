#include "store/devices.hpp"

#include <unordered_map>

#include <nlohmann/json.hpp>

#include <millrace/base/digest.hpp>

#include "store/outbox.hpp"
#include "store/page_token.hpp"

namespace millrace::registry {
namespace {

using postgres::Connection;
using postgres::Params;

constexpr std::size_t kTokenBytes = 24;
constexpr const char* kSelect =
    "SELECT d.tenant, d.device, d.device_key, d.enabled, d.created_at, d.attributes::text,"
    " (SELECT count(*) FROM registry.device_token t WHERE t.device_key = d.device_key) FROM registry.device d ";

v1::Device device_at(const postgres::Rows& rows, int row) {
  v1::Device device;
  device.set_tenant(std::string(rows.text(row, 0)));
  device.set_device(std::string(rows.text(row, 1)));
  device.set_device_key(static_cast<std::int32_t>(rows.integer(row, 2)));
  device.set_enabled(rows.boolean(row, 3));
  device.set_created_at_us(rows.timestamptz(row, 4));
  device.set_attributes_json(std::string(rows.text(row, 5)));
  device.set_tokens(static_cast<std::int32_t>(rows.integer(row, 6)));
  return device;
}

Error no_device(const std::string& tenant, const std::string& device) {
  return {ErrorKind::kNotFound, "there is no device '" + device + "' in tenant " + tenant};
}

std::string new_token() { return "mt_" + random_token(kTokenBytes); }

// The device with its tokens as they are now, for the topic.
Status publish(Connection& connection, Outbox& outbox, const v1::Device& device) {
  auto tokens = connection.exec(
      "SELECT sha256 FROM registry.device_token WHERE device_key = $1::int4 ORDER BY created_at, sha256",
      Params{}.integer(device.device_key()));
  if (!tokens.ok()) return tokens.error();
  v1::Entry entry;
  v1::DeviceEntry& target = *entry.mutable_device();
  target.set_tenant(device.tenant());
  target.set_device(device.device());
  target.set_device_key(device.device_key());
  target.set_enabled(device.enabled());
  for (int i = 0; i < tokens->size(); ++i) target.add_token_sha256(std::string(tokens->text(i, 0)));
  return outbox.put(device_entry_key(device.tenant(), device.device()), entry);
}

// So that a restored registry knows the keys of devices that are deleted by then.
Status publish_sequence(Outbox& outbox, std::int32_t highest) {
  v1::Entry entry;
  entry.mutable_sequence()->set_highest_device_key(highest);
  return outbox.put("sequence/device", entry);
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

Result<std::vector<Result<v1::CreateDeviceResponse>>> create_devices(Connection& connection, const std::string& tenant,
                                                                     std::span<const NewDevice> devices) {
  auto exists = connection.exec("SELECT 1 FROM registry.tenant WHERE tenant = $1 FOR SHARE", Params{}.text(tenant));
  if (!exists.ok()) return exists.error();
  if (exists->empty()) return Error{ErrorKind::kNotFound, "there is no tenant '" + tenant + "'"};
  std::vector<std::string> names;
  std::vector<std::string> attributes;
  for (const NewDevice& device : devices) {
    names.push_back(device.device);
    attributes.push_back(device.attributes_json.empty() ? "{}" : device.attributes_json);
  }
  auto made = connection.exec(
      "INSERT INTO registry.device (device_key, tenant, device, attributes)"
      " SELECT nextval('registry.device_key_seq')::int4, $1, n.device, n.attributes::jsonb"
      " FROM unnest($2::text[], $3::text[]) AS n(device, attributes) ON CONFLICT (tenant, device) DO NOTHING"
      " RETURNING tenant, device, device_key, enabled, created_at, attributes::text, 1::int8",
      Params{}.text(tenant).text_array(names).text_array(attributes));
  if (!made.ok()) return made.error();
  std::unordered_map<std::string, v1::CreateDeviceResponse> created;
  std::int32_t highest = 0;
  for (int i = 0; i < made->size(); ++i) {
    v1::CreateDeviceResponse one;
    *one.mutable_device() = device_at(*made, i);
    one.set_token(new_token());
    const Sha256 digest = sha256(one.token());
    auto stored = connection.exec("INSERT INTO registry.device_token (device_key, sha256) VALUES ($1::int4, $2::bytea)",
                                  Params{}.integer(one.device().device_key()).bytea(bytes_of(digest)));
    if (!stored.ok()) return stored.error();
    highest = std::max(highest, one.device().device_key());
    created.emplace(one.device().device(), std::move(one));
  }
  Outbox outbox(connection);
  for (const auto& [name, one] : created) {
    if (auto status = publish(connection, outbox, one.device()); !status.ok()) return status.error();
  }
  if (highest > 0) {
    if (auto status = publish_sequence(outbox, highest); !status.ok()) return status.error();
  }
  std::vector<Result<v1::CreateDeviceResponse>> answers;
  for (const NewDevice& device : devices) {
    const auto found = created.find(device.device);
    if (found == created.end()) {
      answers.emplace_back(Error{ErrorKind::kAlreadyExists, "device '" + device.device + "' exists already"});
    } else {
      answers.emplace_back(found->second);
      // The same name twice in one call: the second one exists already.
      created.erase(found);
    }
  }
  return answers;
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
  auto gone = connection.exec("DELETE FROM registry.device WHERE tenant = $1 AND device = $2",
                              Params{}.text(tenant).text(device));
  if (!gone.ok()) return gone.error();
  if (gone->affected() == 0) return no_device(tenant, device);
  return Outbox(connection).remove(device_entry_key(tenant, device));
}

}  // namespace millrace::registry
