#include "store/device_access.hpp"

#include <functional>

#include <millrace/base/ids.hpp>
#include <millrace/mqtt/protocol.hpp>

#include "store/credentials_entry.hpp"
#include "store/devices.hpp"

namespace millrace::registry {
namespace {

using postgres::Connection;
using postgres::Params;

constexpr int kMostChildren = 64;
constexpr int kMostRules = 64;
constexpr std::size_t kMostFilterBytes = 256;
constexpr std::string_view kPlace = "{device}";

std::string at(const std::string& where, int index) { return where + "[" + std::to_string(index) + "]"; }

// With any id in place of `{device}`: ids have none of the characters that mean something in a filter.
std::string filled(std::string filter) {
  for (std::size_t place = filter.find(kPlace); place != std::string::npos; place = filter.find(kPlace, place)) {
    filter.replace(place, kPlace.size(), "d");
  }
  return filter;
}

Status check_rule(const std::string& where, const v1::TopicRule& rule) {
  const std::string& filter = rule.filter();
  if (filter.size() > kMostFilterBytes) return Error{ErrorKind::kInvalid, where + ".filter is longer than 256 bytes"};
  if (!mqtt::valid_topic_filter(filled(filter))) {
    return Error{ErrorKind::kInvalid,
                 where + ".filter is no topic filter of MQTT: + and # stand alone in their level, # in the last one"};
  }
  if (filter.starts_with('$'))
    return Error{ErrorKind::kInvalid, where + ".filter must not begin with '$': such topics are not for devices"};
  if (filter == "devices" || filter.starts_with("devices/")) {
    return Error{ErrorKind::kInvalid,
                 where + ".filter is beneath devices/, which are no local topics: each device has its own there"};
  }
  if (!rule.publish() && !rule.subscribe())
    return Error{ErrorKind::kInvalid, where + " must allow publish or subscribe or both"};
  return {};
}

Status store(Connection& connection, std::int32_t device_key, const v1::CredentialsEntry& access) {
  const bool empty = !grants_anything(access);
  auto done = empty ? connection.exec("DELETE FROM registry.device_access WHERE device_key = $1::int4",
                                      Params{}.integer(device_key))
                    : connection.exec(
                          "INSERT INTO registry.device_access (device_key, entry) VALUES ($1::int4, $2::bytea)"
                          " ON CONFLICT (device_key) DO UPDATE SET entry = excluded.entry",
                          Params{}.integer(device_key).bytea(access.SerializeAsString()));
  return done.ok() ? Status{} : Status(done.error());
}

Status change(Connection& connection, const std::string& tenant, const std::string& device,
              const std::function<void(v1::CredentialsEntry&)>& edit) {
  const auto key = lock_device(connection, tenant, device);
  if (!key.ok()) return key.error();
  auto access = read_access(connection, *key);
  if (!access.ok()) return access.error();
  edit(*access);
  if (auto status = store(connection, *key, *access); !status.ok()) return status;
  return publish_credentials(connection, {*key, tenant, device});
}

}  // namespace

Status check_children(const Children& children) {
  if (children.size() > kMostChildren) return Error{ErrorKind::kInvalid, "children has more than 64 entries"};
  for (int i = 0; i < children.size(); ++i) {
    std::string_view child = children[i];
    const bool prefix = child.ends_with('*');
    if (prefix) child.remove_suffix(1);
    if ((prefix && child.empty()) || is_valid_id(child)) continue;
    return Error{ErrorKind::kInvalid, at("children", i) + " must be a device id, or the beginning of ids and a '*'"};
  }
  return {};
}

Status check_topics(const std::string& where, const TopicRules& topics) {
  if (topics.size() > kMostRules) return Error{ErrorKind::kInvalid, where + " has more than 64 entries"};
  for (int i = 0; i < topics.size(); ++i) {
    if (auto status = check_rule(at(where, i), topics[i]); !status.ok()) return status;
  }
  return {};
}

Status set_device_children(Connection& connection, const std::string& tenant, const std::string& device,
                           const Children& children) {
  return change(connection, tenant, device,
                [&](v1::CredentialsEntry& access) { *access.mutable_children() = children; });
}

Status set_device_topics(Connection& connection, const std::string& tenant, const std::string& device,
                         const TopicRules& topics) {
  return change(connection, tenant, device, [&](v1::CredentialsEntry& access) { *access.mutable_topics() = topics; });
}

Status set_device_ack_level(Connection& connection, const std::string& tenant, const std::string& device,
                            v1::AckLevel level) {
  return change(connection, tenant, device, [&](v1::CredentialsEntry& access) { access.set_ack_level(level); });
}

Result<v1::GetDeviceAccessResponse> get_device_access(Connection& connection, const std::string& tenant,
                                                      const std::string& device) {
  const auto now = get_device(connection, tenant, device);
  if (!now.ok()) return now.error();
  auto access = read_access(connection, now->device_key());
  if (!access.ok()) return access.error();
  v1::GetDeviceAccessResponse response;
  *response.mutable_children() = std::move(*access->mutable_children());
  *response.mutable_topics() = std::move(*access->mutable_topics());
  response.set_ack_level(access->ack_level());
  return response;
}

}  // namespace millrace::registry
