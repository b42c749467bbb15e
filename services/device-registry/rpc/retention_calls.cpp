// For how long points are kept: RegistryService.
#include "rpc/call_parts.hpp"
#include "rpc/registry_service.hpp"
#include "store/device_types.hpp"
#include "store/retention.hpp"

namespace millrace::registry {

using postgres::Connection;
using rpc::Call;

RegistryService::Reactor* RegistryService::SetRetention(Context* context, const v1::SetRetentionRequest* request,
                                                        v1::RetentionEntry* response) {
  return parts_.dispatcher.unary(context, set_retention_, [=, this](const Call& call) -> Status {
    const auto tenant = rpc::tenant_of(call.caller, request->tenant());
    if (!tenant.ok()) return tenant.error();
    if (auto valid = check_type_name(request->type()); !valid.ok()) return valid;
    const auto days = request->has_days() ? std::optional(request->days()) : std::nullopt;
    if (auto valid = check_retention_days(days); !valid.ok()) return valid;
    const std::string what = "set retention to " + (days ? std::to_string(*days) + " days" : "the default");
    return change(call, what, request->type().empty() ? *tenant : *tenant + "/" + request->type(),
                  [&](Connection& connection) {
                    return give(set_retention(connection, *tenant, request->type(), days), *response);
                  });
  });
}

RegistryService::Reactor* RegistryService::GetRetention(Context* context, const v1::GetRetentionRequest* request,
                                                        v1::RetentionEntry* response) {
  return parts_.dispatcher.unary(context, get_retention_, [=, this](const Call& call) -> Status {
    const auto tenant = rpc::tenant_of(call.caller, request->tenant());
    if (!tenant.ok()) return tenant.error();
    return read(call, [&](Connection& connection) { return give(get_retention(connection, *tenant), *response); });
  });
}

}  // namespace millrace::registry
