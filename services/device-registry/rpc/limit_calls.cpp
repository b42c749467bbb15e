// Limits of RegistryService.
#include <millrace/base/ids.hpp>

#include "rpc/registry_service.hpp"
#include "store/limits.hpp"
#include "store/tenants.hpp"

namespace millrace::registry {
namespace {

using postgres::Connection;
using rpc::Call;

Status put(Connection& connection, const v1::LimitsEntry& entry, v1::LimitsEntry& response) {
  auto set = set_limits(connection, entry);
  if (!set.ok()) return set.error();
  response = std::move(*set);
  return {};
}

}  // namespace

RegistryService::Reactor* RegistryService::SetTenantLimits(Context* context, const v1::SetTenantLimitsRequest* request,
                                                           v1::LimitsEntry* response) {
  return parts_.dispatcher.unary(context, set_tenant_limits_, [=, this](const Call& call) -> Status {
    const auto tenant = rpc::tenant_of(call.caller, request->tenant());
    if (!tenant.ok()) return tenant.error();
    if (auto valid = check_limits("tenant_total", request->tenant_total()); !valid.ok()) return valid;
    if (auto valid = check_limits("device_default", request->device_default()); !valid.ok()) return valid;
    v1::LimitsEntry entry;
    entry.set_tenant(*tenant);
    if (request->has_tenant_total()) *entry.mutable_tenant_total() = request->tenant_total();
    if (request->has_device_default()) *entry.mutable_device_default() = request->device_default();
    const bool own = !call.caller.is_platform();
    if (own && request->has_tenant_total())
      return Error{ErrorKind::kForbidden, "tenant_total is set by an admin of the platform"};
    return change(call, "set tenant limits", *tenant, [&](Connection& connection) -> Status {
      // What the platform sets meanwhile must not be written over by what was read before.
      if (auto locked = lock_tenant(connection, *tenant); !locked.ok()) return locked;
      if (own) {
        auto now = get_limits(connection, *tenant, "");
        if (!now.ok()) return now.error();
        if (now->has_tenant_total()) *entry.mutable_tenant_total() = now->tenant_total();
      }
      return put(connection, entry, *response);
    });
  });
}

RegistryService::Reactor* RegistryService::SetDeviceLimits(Context* context, const v1::SetDeviceLimitsRequest* request,
                                                           v1::LimitsEntry* response) {
  return parts_.dispatcher.unary(context, set_device_limits_, [=, this](const Call& call) -> Status {
    const auto tenant = rpc::tenant_of(call.caller, request->tenant());
    if (!tenant.ok()) return tenant.error();
    if (auto valid = check_id("device id", request->device()); !valid.ok()) return valid;
    if (auto valid = check_limits("limits", request->limits()); !valid.ok()) return valid;
    v1::LimitsEntry entry;
    entry.set_tenant(*tenant);
    entry.set_device(request->device());
    if (request->has_limits()) *entry.mutable_device_override() = request->limits();
    return change(call, "set device limits", *tenant + "/" + request->device(),
                  [&](Connection& connection) { return put(connection, entry, *response); });
  });
}

RegistryService::Reactor* RegistryService::GetLimits(Context* context, const v1::GetLimitsRequest* request,
                                                     v1::LimitsEntry* response) {
  return parts_.dispatcher.unary(context, get_limits_, [=, this](const Call& call) -> Status {
    const auto tenant = rpc::tenant_of(call.caller, request->tenant());
    if (!tenant.ok()) return tenant.error();
    return read(call, [&](Connection& connection) -> Status {
      auto entry = get_limits(connection, *tenant, request->device());
      if (!entry.ok()) return entry.error();
      *response = std::move(*entry);
      return {};
    });
  });
}

}  // namespace millrace::registry
