// Types of devices of RegistryService.
#include "rpc/call_parts.hpp"
#include "rpc/registry_service.hpp"
#include "store/device_types.hpp"

namespace millrace::registry {

using postgres::Connection;
using rpc::Call;

RegistryService::Reactor* RegistryService::SetDeviceType(Context* context, const v1::SetDeviceTypeRequest* request,
                                                         v1::DeviceType* response) {
  return parts_.dispatcher.unary(context, set_type_, [=, this](const Call& call) -> Status {
    const auto tenant = rpc::tenant_of(call.caller, request->type().tenant());
    if (!tenant.ok()) return tenant.error();
    v1::DeviceTypeEntry type = request->type();
    type.set_tenant(*tenant);
    // Without a connection in hand: a large descriptor takes its time.
    auto checked = check_type(type);
    if (!checked.ok()) return checked.error();
    auto status = change(call, "set device type", *tenant + "/" + type.type(),
                         [&](Connection& connection) { return set_type(connection, type); });
    if (status.ok()) *response = std::move(*checked);
    return status;
  });
}

RegistryService::Reactor* RegistryService::GetDeviceType(Context* context, const v1::GetDeviceTypeRequest* request,
                                                         v1::DeviceTypeEntry* response) {
  return parts_.dispatcher.unary(context, get_type_, [=, this](const Call& call) -> Status {
    const auto tenant = rpc::tenant_of(call.caller, request->tenant());
    if (!tenant.ok()) return tenant.error();
    if (auto valid = check_id("device type", request->type()); !valid.ok()) return valid;
    return read(
        call, [&](Connection& connection) { return give(get_type(connection, *tenant, request->type()), *response); });
  });
}

RegistryService::Reactor* RegistryService::ListDeviceTypes(Context* context, const v1::ListDeviceTypesRequest* request,
                                                           v1::ListDeviceTypesResponse* response) {
  return parts_.dispatcher.unary(context, list_types_, [=, this](const Call& call) -> Status {
    const auto tenant = rpc::tenant_of(call.caller, request->tenant());
    if (!tenant.ok()) return tenant.error();
    return read(call, [&](Connection& connection) { return give(list_types(connection, *tenant), *response); });
  });
}

RegistryService::Reactor* RegistryService::DeleteDeviceType(Context* context,
                                                            const v1::DeleteDeviceTypeRequest* request,
                                                            v1::DeleteDeviceTypeResponse* /*response*/) {
  return parts_.dispatcher.unary(context, delete_type_, [=, this](const Call& call) -> Status {
    const auto tenant = rpc::tenant_of(call.caller, request->tenant());
    if (!tenant.ok()) return tenant.error();
    if (auto valid = check_id("device type", request->type()); !valid.ok()) return valid;
    return change(call, "delete device type", *tenant + "/" + request->type(),
                  [&](Connection& connection) { return delete_type(connection, *tenant, request->type()); });
  });
}

RegistryService::Reactor* RegistryService::SetTypeOfDevice(Context* context, const v1::SetTypeOfDeviceRequest* request,
                                                           v1::Device* response) {
  return parts_.dispatcher.unary(context, set_type_of_device_, [=, this](const Call& call) -> Status {
    const auto names = names_of(call, request->tenant(), request->device());
    if (!names.ok()) return names.error();
    if (auto valid = check_type_name(request->type()); !valid.ok()) return valid;
    return change(call, "set type of device", names->entity(), [&](Connection& connection) {
      return give(set_type_of_device(connection, names->tenant, names->device, request->type()), *response);
    });
  });
}

}  // namespace millrace::registry
