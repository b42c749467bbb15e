#include "decode.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <millrace/base/ids.hpp>

#include "decode_grants.hpp"
#include "decode_type.hpp"
#include "millrace/registry/v1/entry.pb.h"

namespace millrace::registry_view {
namespace {

using registry::v1::ApiKeyEntry;
using registry::v1::DeviceEntry;
using registry::v1::Entry;

Error bad(std::string_view key, std::string_view why) {
  return {ErrorKind::kInvalid, "registry entry " + std::string(key.substr(0, 160)) + ": " + std::string(why)};
}

bool read_digest(const std::string& bytes, Sha256& out) {
  if (bytes.size() != out.size()) return false;
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(out.data()));
  return true;
}

Status put_tenant(State& state, std::string_view key, std::string_view id, const Entry& entry) {
  if (!entry.has_tenant() || entry.tenant().tenant() != id) return bad(key, "the value is not of this tenant");
  state.put(TenantFact{std::string(id), entry.tenant().enabled()});
  return {};
}

Status put_device(State& state, std::string_view key, std::string_view name, const Entry& entry) {
  const auto parsed = parse_record_key(name);
  if (!parsed.ok()) return bad(key, parsed.error().message);
  const DeviceEntry& device = entry.device();
  if (!entry.has_device() || device.tenant() != parsed->first || device.device() != parsed->second) {
    return bad(key, "the value is not of this device");
  }
  if (device.device_key() <= 0) return bad(key, "the device key is not positive");
  DeviceFact fact{device.tenant(), device.device(), device.device_key(), device.enabled(), {}, device.type()};
  for (const std::string& bytes : device.token_sha256()) {
    if (!read_digest(bytes, fact.tokens.emplace_back())) return bad(key, "a token digest is not 32 bytes");
  }
  state.put(fact);
  return {};
}

Result<rpc::Role> role_of(registry::v1::Role role) {
  switch (static_cast<int>(role)) {
    case registry::v1::ROLE_VIEWER:
      return rpc::Role::kViewer;
    case registry::v1::ROLE_OPERATOR:
      return rpc::Role::kOperator;
    case registry::v1::ROLE_ADMIN:
      return rpc::Role::kAdmin;
    default:
      return Error{ErrorKind::kInvalid, "unknown role"};
  }
}

Status put_api_key(State& state, std::string_view key, std::string_view id, const Entry& entry) {
  const ApiKeyEntry& api_key = entry.api_key();
  if (!entry.has_api_key() || api_key.key_id() != id) return bad(key, "the value is not of this API key");
  const auto role = role_of(api_key.role());
  if (!role.ok()) return bad(key, role.error().message);
  ApiKeyFact fact{{api_key.key_id(), api_key.tenant(), *role}, {}, api_key.enabled(), api_key.expires_at_us()};
  if (!read_digest(api_key.sha256(), fact.sha256)) return bad(key, "the digest is not 32 bytes");
  state.put(fact);
  return {};
}

Status read_rate(std::string_view key, const registry::v1::RateLimit& from, Rate& to) {
  const bool sane =
      std::isfinite(from.per_second()) && from.per_second() > 0 && std::isfinite(from.burst()) && from.burst() >= 0;
  if (!sane) return bad(key, "a rate is not a number above 0");
  to.per_second = from.per_second();
  to.burst = std::max(1.0, from.burst() > 0 ? from.burst() : from.per_second());
  return {};
}

Status read_limits(std::string_view key, const registry::v1::Limits& from, LimitsPtr& to) {
  Limits limits;
  Status status;
  if (from.has_messages()) status = read_rate(key, from.messages(), limits.messages);
  if (status.ok() && from.has_bytes()) status = read_rate(key, from.bytes(), limits.bytes);
  if (status.ok() && from.has_points()) status = read_rate(key, from.points(), limits.points);
  if (status.ok() && from.has_connects()) status = read_rate(key, from.connects(), limits.connects);
  limits.connections = from.connections();
  if (status.ok() && limits != Limits{}) to = std::make_shared<const Limits>(limits);
  return status;
}

Status put_limits(State& state, std::string_view key, std::string_view name, const Entry& entry) {
  const registry::v1::LimitsEntry& limits = entry.limits();
  const std::string said = limits.tenant() + (limits.device().empty() ? "" : "/" + limits.device());
  if (!entry.has_limits() || said != name) return bad(key, "the value is not of this tenant or device");
  LimitsPtr total;
  LimitsPtr device_default;
  LimitsPtr own;
  if (auto status = read_limits(key, limits.tenant_total(), total); !status.ok()) return status;
  if (auto status = read_limits(key, limits.device_default(), device_default); !status.ok()) return status;
  if (auto status = read_limits(key, limits.device_override(), own); !status.ok()) return status;
  if (limits.device().empty()) {
    state.limits().put_tenant(limits.tenant(), std::move(total), std::move(device_default));
  } else if (own) {
    state.limits().put_device(limits.tenant(), limits.device(), std::move(own));
  } else {
    state.limits().remove(limits.tenant(), limits.device());
  }
  return {};
}

Status put_credentials(State& state, std::string_view key, std::string_view name, const Entry& entry) {
  const registry::v1::CredentialsEntry& credentials = entry.credentials();
  if (!entry.has_credentials() || !parse_record_key(name).ok() ||
      record_key(credentials.tenant(), credentials.device()) != name) {
    return bad(key, "the value is not of this device");
  }
  auto grants = read_grants(credentials);
  if (!grants.ok()) return bad(key, grants.error().message);
  state.put(credentials.tenant(), credentials.device(), std::move(*grants));
  return {};
}

Status put_authority(State& state, std::string_view key, std::string_view name, const Entry& entry) {
  if (!entry.has_authority() || !parse_record_key(name).ok() ||
      record_key(entry.authority().tenant(), entry.authority().authority()) != name) {
    return bad(key, "the value is not of this authority");
  }
  auto authority = read_authority(entry.authority());
  if (!authority.ok()) return bad(key, authority.error().message);
  state.put(std::move(*authority));
  return {};
}

Status put_policy(State& state, std::string_view key, std::string_view tenant, const Entry& entry) {
  if (!entry.has_policy() || entry.policy().tenant() != tenant || !is_valid_id(tenant)) {
    return bad(key, "the value is not of this tenant");
  }
  auto policy = read_policy(entry.policy());
  if (!policy.ok()) return bad(key, policy.error().message);
  state.put(tenant, std::move(*policy));
  return {};
}

// A type that cannot be used takes the place of the one before it: its devices send what only the new one reads.
Status put_type(State& state, std::string_view key, std::string_view name, const Entry& entry) {
  if (!state.keeps_types()) return {};
  if (!entry.has_type() || !parse_record_key(name).ok() ||
      record_key(entry.type().tenant(), entry.type().type()) != name) {
    return bad(key, "the value is not of this type");
  }
  auto type = read_type(entry.type());
  if (!type.ok()) return bad(key, type.error().message);
  const std::string problem = (*type)->problem;
  state.types().put(entry.type().tenant(), std::move(*type));
  return problem.empty() ? Status{} : bad(key, problem);
}

Status put_retention(State& state, std::string_view key, std::string_view tenant, const Entry& entry) {
  const registry::v1::RetentionEntry& retention = entry.retention();
  if (!entry.has_retention() || retention.tenant() != tenant || !is_valid_id(tenant)) {
    return bad(key, "the value is not of this tenant");
  }
  std::vector<RetentionRule> rules;
  if (retention.days() != 0) rules.push_back({std::string(tenant), {}, retention.days()});
  for (const auto& type : retention.types()) {
    if (!is_valid_id(type.type())) return bad(key, "a type has no valid name");
    rules.push_back({std::string(tenant), type.type(), type.days()});
  }
  for (const RetentionRule& rule : rules) {
    if (rule.days < 0) return bad(key, "a number of days is below 0");
  }
  state.retention().put(tenant, std::move(rules));
  return {};
}

Status remove(State& state, std::string_view key, std::string_view kind, std::string_view name) {
  if (kind == "tenant") {
    state.remove_tenant(name);
  } else if (kind == "device") {
    const auto parsed = parse_record_key(name);
    if (!parsed.ok()) return bad(key, parsed.error().message);
    state.remove_device(parsed->first, parsed->second);
  } else if (kind == "key") {
    state.remove_api_key(name);
  } else if (kind == "limits") {
    const auto slash = name.find('/');
    state.limits().remove(name.substr(0, slash),
                          slash == std::string_view::npos ? std::string_view() : name.substr(slash + 1));
  } else if (kind == "type") {
    const auto parsed = parse_record_key(name);
    if (!parsed.ok()) return bad(key, parsed.error().message);
    state.types().remove(parsed->first, parsed->second);
  } else if (kind == "credentials" || kind == "authority") {
    const auto parsed = parse_record_key(name);
    if (!parsed.ok()) return bad(key, parsed.error().message);
    kind == "authority" ? state.remove_authority(parsed->first, parsed->second)
                        : state.remove_grants(parsed->first, parsed->second);
  } else if (kind == "policy") {
    state.remove_policy(name);
  } else if (kind == "retention") {
    state.retention().remove(name);
  }
  return {};
}

}  // namespace

Status apply(State& state, std::string_view key, std::optional<std::string_view> value) {
  const auto slash = key.find('/');
  if (slash == std::string_view::npos) return bad(key, "the key names no kind");
  const std::string_view kind = key.substr(0, slash);
  const std::string_view name = key.substr(slash + 1);
  if (!value) return remove(state, key, kind, name);
  Entry entry;
  if (!entry.ParseFromArray(value->data(), static_cast<int>(value->size()))) return bad(key, "the value is no Entry");
  state.note_revision(entry.revision());
  if (kind == "tenant") return put_tenant(state, key, name, entry);
  if (kind == "device") return put_device(state, key, name, entry);
  if (kind == "key") return put_api_key(state, key, name, entry);
  if (kind == "limits") return put_limits(state, key, name, entry);
  if (kind == "credentials") return put_credentials(state, key, name, entry);
  if (kind == "authority") return put_authority(state, key, name, entry);
  if (kind == "policy") return put_policy(state, key, name, entry);
  if (kind == "type") return put_type(state, key, name, entry);
  if (kind == "retention") return put_retention(state, key, name, entry);
  if (kind == "sequence" && entry.has_sequence()) state.note_device_key(entry.sequence().highest_device_key());
  return {};
}

}  // namespace millrace::registry_view
