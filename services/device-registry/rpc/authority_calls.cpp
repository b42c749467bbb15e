// Authorities, policies and provisioning of RegistryService.
#include "provisioning/leaf_match.hpp"
#include "rpc/call_parts.hpp"
#include "rpc/registry_service.hpp"
#include "store/authorities.hpp"
#include "store/device_access.hpp"
#include "store/devices.hpp"
#include "store/policies.hpp"
#include "store/provisioning.hpp"

namespace millrace::registry {
namespace {

using postgres::Connection;
using rpc::Call;

// Whether it is there already, so that no change has to be made for it.
Result<bool> find_existing(Connection& connection, const std::string& tenant, const std::string& device,
                           v1::ProvisionDeviceResponse& response) {
  auto now = get_device(connection, tenant, device);
  if (!now.ok() && now.error().kind == ErrorKind::kNotFound) return false;
  if (!now.ok()) return now.error();
  *response.mutable_device() = std::move(*now);
  response.set_existed(true);
  return true;
}

}  // namespace

RegistryService::Reactor* RegistryService::SetAuthority(Context* context, const v1::SetAuthorityRequest* request,
                                                        v1::AuthorityEntry* response) {
  return parts_.dispatcher.unary(context, set_authority_, [=, this](const Call& call) -> Status {
    const auto tenant = rpc::tenant_of(call.caller, request->authority().tenant());
    if (!tenant.ok()) return tenant.error();
    auto entry = read_authority(request->authority(), request->certificate_pem(), now_us());
    if (!entry.ok()) return entry.error();
    entry->set_tenant(*tenant);
    auto status = change(call, "set authority", *tenant + "/" + entry->authority(),
                         [&](Connection& connection) { return set_authority(connection, *entry); });
    if (status.ok()) *response = std::move(*entry);
    return status;
  });
}

RegistryService::Reactor* RegistryService::ListAuthorities(Context* context, const v1::ListAuthoritiesRequest* request,
                                                           v1::ListAuthoritiesResponse* response) {
  return parts_.dispatcher.unary(context, list_authorities_, [=, this](const Call& call) -> Status {
    const auto tenant = rpc::tenant_of(call.caller, request->tenant());
    if (!tenant.ok()) return tenant.error();
    return read(call, [&](Connection& connection) -> Status {
      auto all = list_authorities(connection, *tenant);
      if (!all.ok()) return all.error();
      for (v1::AuthorityEntry& one : *all) *response->add_authorities() = std::move(one);
      return {};
    });
  });
}

RegistryService::Reactor* RegistryService::DeleteAuthority(Context* context, const v1::DeleteAuthorityRequest* request,
                                                           v1::DeleteAuthorityResponse* /*response*/) {
  return parts_.dispatcher.unary(context, delete_authority_, [=, this](const Call& call) -> Status {
    const auto tenant = rpc::tenant_of(call.caller, request->tenant());
    if (!tenant.ok()) return tenant.error();
    if (auto valid = check_id("authority", request->authority()); !valid.ok()) return valid;
    return change(call, "delete authority", *tenant + "/" + request->authority(),
                  [&](Connection& connection) { return delete_authority(connection, *tenant, request->authority()); });
  });
}

RegistryService::Reactor* RegistryService::SetPolicy(Context* context, const v1::SetPolicyRequest* request,
                                                     v1::PolicyEntry* response) {
  return parts_.dispatcher.unary(context, set_policy_, [=, this](const Call& call) -> Status {
    const auto tenant = rpc::tenant_of(call.caller, request->policy().tenant());
    if (!tenant.ok()) return tenant.error();
    if (auto valid = check_topics("policy.device_topics", request->policy().device_topics()); !valid.ok()) return valid;
    if (!v1::AckLevel_IsValid(request->policy().ack_level())) {
      return Error{ErrorKind::kInvalid, "policy.ack_level is 0 (bus), 1 (bus) or 2 (stored)"};
    }
    v1::PolicyEntry policy = request->policy();
    policy.set_tenant(*tenant);
    auto status =
        change(call, "set policy", *tenant, [&](Connection& connection) { return set_policy(connection, policy); });
    if (status.ok()) *response = std::move(policy);
    return status;
  });
}

RegistryService::Reactor* RegistryService::GetPolicy(Context* context, const v1::GetPolicyRequest* request,
                                                     v1::PolicyEntry* response) {
  return parts_.dispatcher.unary(context, get_policy_, [=, this](const Call& call) -> Status {
    const auto tenant = rpc::tenant_of(call.caller, request->tenant());
    if (!tenant.ok()) return tenant.error();
    return read(call, [&](Connection& connection) { return give(get_policy(connection, *tenant), *response); });
  });
}

RegistryService::Reactor* RegistryService::ProvisionDevice(Context* context, const v1::ProvisionDeviceRequest* request,
                                                           v1::ProvisionDeviceResponse* response) {
  return parts_.dispatcher.unary(context, provision_device_, [=, this](const Call& call) -> Status {
    if (!call.caller.is_platform())
      return Error{ErrorKind::kForbidden, "devices are made by certificate with a key of the platform only"};
    const auto tenant = rpc::tenant_of(call.caller, request->tenant());
    if (!tenant.ok()) return tenant.error();
    const std::vector<std::string> chain(request->chain().begin(), request->chain().end());
    if (auto valid = check_chain(chain); !valid.ok()) return valid;
    if (auto safe = check_keys_safe(); !safe.ok()) return safe;
    std::vector<v1::AuthorityEntry> authorities;
    auto listed =
        read(call, [&](Connection& connection) { return give(list_authorities(connection, *tenant), authorities); });
    if (!listed.ok()) return listed;
    // Without a connection in hand: signatures take their time.
    const auto match = match_leaf(authorities, chain, now_us());
    if (!match.ok()) return match.error();
    bool existed = false;
    auto looked = read(call, [&](Connection& connection) {
      return give(find_existing(connection, *tenant, match->device, *response), existed);
    });
    if (!looked.ok() || existed) return looked;
    return change(call, "provision device", *tenant + "/" + match->device, [&](Connection& connection) {
      return give(provision_device(connection, *match->authority, match->device), *response);
    });
  });
}

}  // namespace millrace::registry
