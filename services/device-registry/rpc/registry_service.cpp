#include "rpc/registry_service.hpp"

#include <millrace/base/ids.hpp>

#include "rpc/call_parts.hpp"
#include "rpc/import_reactor.hpp"
#include "store/api_keys.hpp"
#include "store/device_types.hpp"
#include "store/devices.hpp"
#include "store/page_token.hpp"
#include "store/tenants.hpp"

namespace millrace::registry {
namespace {

using postgres::Connection;
using rpc::Call;
using rpc::Role;

constexpr std::size_t kMostDescription = 200;

// For API keys: a caller of the platform that names no tenant means the platform's own keys.
Result<std::string> key_tenant_of(const Call& call, const std::string& tenant) {
  if (call.caller.is_platform() && tenant.empty()) return std::string{};
  return rpc::tenant_of(call.caller, tenant);
}

}  // namespace

RegistryService::RegistryService(const RegistryParts& parts)
    : parts_(parts),
      create_tenant_(parts.dispatcher.method({.name = "CreateTenant", .least = Role::kAdmin})),
      get_tenant_(parts.dispatcher.method({.name = "GetTenant"})),
      list_tenants_(parts.dispatcher.method({.name = "ListTenants", .least = Role::kAdmin})),
      delete_tenant_(parts.dispatcher.method({.name = "DeleteTenant", .least = Role::kAdmin})),
      create_device_(parts.dispatcher.method({.name = "CreateDevice", .least = Role::kOperator})),
      import_devices_(parts.dispatcher.method(
          {.name = "ImportDevices", .least = Role::kOperator, .shape = rpc::CallShape::kStream})),
      get_device_(parts.dispatcher.method({.name = "GetDevice"})),
      list_devices_(parts.dispatcher.method({.name = "ListDevices"})),
      enable_device_(parts.dispatcher.method({.name = "SetDeviceEnabled", .least = Role::kOperator})),
      add_token_(parts.dispatcher.method({.name = "AddDeviceToken", .least = Role::kOperator})),
      delete_device_(parts.dispatcher.method({.name = "DeleteDevice", .least = Role::kOperator})),
      create_key_(parts.dispatcher.method({.name = "CreateApiKey", .least = Role::kAdmin})),
      list_keys_(parts.dispatcher.method({.name = "ListApiKeys", .least = Role::kAdmin})),
      delete_key_(parts.dispatcher.method({.name = "DeleteApiKey", .least = Role::kAdmin})),
      replay_dead_letter_(parts.dispatcher.method({.name = "ReplayDeadLetter", .least = Role::kOperator})),
      create_rule_(parts.dispatcher.method({.name = "CreateRule", .least = Role::kOperator})),
      update_rule_(parts.dispatcher.method({.name = "UpdateRule", .least = Role::kOperator})),
      get_rule_(parts.dispatcher.method({.name = "GetRule"})),
      list_rules_(parts.dispatcher.method({.name = "ListRules"})),
      delete_rule_(parts.dispatcher.method({.name = "DeleteRule", .least = Role::kOperator})),
      set_webhook_(parts.dispatcher.method({.name = "SetWebhook", .least = Role::kAdmin})),
      get_webhook_(parts.dispatcher.method({.name = "GetWebhook", .least = Role::kOperator})),
      delete_webhook_(parts.dispatcher.method({.name = "DeleteWebhook", .least = Role::kAdmin})),
      set_tenant_limits_(parts.dispatcher.method({.name = "SetTenantLimits", .least = Role::kAdmin})),
      set_device_limits_(parts.dispatcher.method({.name = "SetDeviceLimits", .least = Role::kOperator})),
      get_limits_(parts.dispatcher.method({.name = "GetLimits"})),
      add_credential_(parts.dispatcher.method({.name = "AddCredential", .least = Role::kOperator})),
      remove_credential_(parts.dispatcher.method({.name = "RemoveCredential", .least = Role::kOperator})),
      list_credentials_(parts.dispatcher.method({.name = "ListCredentials"})),
      set_children_(parts.dispatcher.method({.name = "SetDeviceChildren", .least = Role::kOperator})),
      set_topics_(parts.dispatcher.method({.name = "SetDeviceTopics", .least = Role::kOperator})),
      set_ack_level_(parts.dispatcher.method({.name = "SetDeviceAckLevel", .least = Role::kOperator})),
      get_access_(parts.dispatcher.method({.name = "GetDeviceAccess"})),
      set_authority_(parts.dispatcher.method({.name = "SetAuthority", .least = Role::kAdmin})),
      list_authorities_(parts.dispatcher.method({.name = "ListAuthorities"})),
      delete_authority_(parts.dispatcher.method({.name = "DeleteAuthority", .least = Role::kAdmin})),
      set_policy_(parts.dispatcher.method({.name = "SetPolicy", .least = Role::kAdmin})),
      get_policy_(parts.dispatcher.method({.name = "GetPolicy"})),
      provision_device_(parts.dispatcher.method({.name = "ProvisionDevice", .least = Role::kOperator})),
      set_type_(parts.dispatcher.method({.name = "SetDeviceType", .least = Role::kAdmin})),
      get_type_(parts.dispatcher.method({.name = "GetDeviceType"})),
      list_types_(parts.dispatcher.method({.name = "ListDeviceTypes"})),
      delete_type_(parts.dispatcher.method({.name = "DeleteDeviceType", .least = Role::kAdmin})),
      set_type_of_device_(parts.dispatcher.method({.name = "SetTypeOfDevice", .least = Role::kOperator})),
      set_retention_(parts.dispatcher.method({.name = "SetRetention", .least = Role::kAdmin})),
      get_retention_(parts.dispatcher.method({.name = "GetRetention"})) {}

Status RegistryService::read(const Call& call, const std::function<Status(Connection&)>& work) {
  auto lease = parts_.database.acquire(call.deadline);
  if (!lease.ok()) return lease.error();
  return work(**lease);
}

Status RegistryService::change(const Call& call, std::string_view what, std::string_view entity,
                               const std::function<Status(Connection&)>& work) {
  const Status done = read(call, [&](Connection& connection) -> Status {
    auto transaction = postgres::Transaction::begin(connection);
    if (!transaction.ok()) return transaction.error();
    if (auto status = work(connection); !status.ok()) return status;
    return transaction->commit();
  });
  audit_.info("change", {{"what", what},
                         {"entity", entity},
                         {"by", call.caller.key_id},
                         {"outcome", done.ok() ? "done" : to_string(done.error().kind)}});
  if (done.ok()) parts_.relay.wake();
  return done;
}

Status RegistryService::check_keys_safe() const {
  if (parts_.relay.keys_safe()) return {};
  return Error{ErrorKind::kUnavailable,
               "the topic registry has not been read yet, so that no device key can be given; try again"};
}

// Tenants

RegistryService::Reactor* RegistryService::CreateTenant(Context* context, const v1::CreateTenantRequest* request,
                                                        v1::Tenant* response) {
  return parts_.dispatcher.unary(context, create_tenant_, [=, this](const Call& call) -> Status {
    if (auto status = rpc::require_platform_admin(call.caller); !status.ok()) return status;
    if (auto valid = check_id("tenant id", request->tenant()); !valid.ok()) return valid;
    return change(call, "create tenant", request->tenant(), [&](Connection& connection) {
      return give(create_tenant(connection, request->tenant()), *response);
    });
  });
}

RegistryService::Reactor* RegistryService::GetTenant(Context* context, const v1::GetTenantRequest* request,
                                                     v1::Tenant* response) {
  return parts_.dispatcher.unary(context, get_tenant_, [=, this](const Call& call) -> Status {
    const auto tenant = rpc::tenant_of(call.caller, request->tenant());
    if (!tenant.ok()) return tenant.error();
    return read(call, [&](Connection& connection) { return give(get_tenant(connection, *tenant), *response); });
  });
}

RegistryService::Reactor* RegistryService::ListTenants(Context* context, const v1::ListTenantsRequest* request,
                                                       v1::ListTenantsResponse* response) {
  return parts_.dispatcher.unary(context, list_tenants_, [=, this](const Call& call) -> Status {
    if (auto status = rpc::require_platform_admin(call.caller); !status.ok()) return status;
    const auto limit = page_size_of(request->page_size());
    if (!limit.ok()) return limit.error();
    const auto after = parse_page_token(request->page_token());
    if (!after.ok()) return after.error();
    return read(call,
                [&](Connection& connection) { return give(list_tenants(connection, *after, *limit), *response); });
  });
}

RegistryService::Reactor* RegistryService::DeleteTenant(Context* context, const v1::DeleteTenantRequest* request,
                                                        v1::DeleteTenantResponse* /*response*/) {
  return parts_.dispatcher.unary(context, delete_tenant_, [=, this](const Call& call) -> Status {
    if (auto status = rpc::require_platform_admin(call.caller); !status.ok()) return status;
    return change(call, "delete tenant", request->tenant(),
                  [&](Connection& connection) { return delete_tenant(connection, request->tenant()); });
  });
}

// Devices

RegistryService::Reactor* RegistryService::CreateDevice(Context* context, const v1::CreateDeviceRequest* request,
                                                        v1::CreateDeviceResponse* response) {
  return parts_.dispatcher.unary(context, create_device_, [=, this](const Call& call) -> Status {
    const auto names = names_of(call, request->tenant(), request->device());
    if (!names.ok()) return names.error();
    if (auto valid = check_attributes(request->attributes_json()); !valid.ok()) return valid;
    if (auto valid = check_token_digest(request->token_sha256()); !valid.ok()) return valid;
    if (auto valid = check_type_name(request->type()); !valid.ok()) return valid;
    if (auto safe = check_keys_safe(); !safe.ok()) return safe;
    return change(call, "create device", names->tenant + "/" + names->device, [&](Connection& connection) -> Status {
      const NewDevice device{names->device, request->attributes_json(), request->token_sha256(), request->type()};
      auto created = create_devices(connection, names->tenant, std::span(&device, 1));
      if (!created.ok()) return created.error();
      return give(std::move(created->front()), *response);
    });
  });
}

grpc::ServerBidiReactor<v1::CreateDeviceRequest, v1::ImportDeviceResult>* RegistryService::ImportDevices(
    Context* context) {
  return new ImportReactor(*this, parts_.dispatcher, import_devices_, context);
}

RegistryService::Reactor* RegistryService::GetDevice(Context* context, const v1::GetDeviceRequest* request,
                                                     v1::Device* response) {
  return parts_.dispatcher.unary(context, get_device_, [=, this](const Call& call) -> Status {
    const auto names = names_of(call, request->tenant(), request->device());
    if (!names.ok()) return names.error();
    return read(call, [&](Connection& connection) {
      return give(get_device(connection, names->tenant, names->device), *response);
    });
  });
}

RegistryService::Reactor* RegistryService::ListDevices(Context* context, const v1::ListDevicesRequest* request,
                                                       v1::ListDevicesResponse* response) {
  return parts_.dispatcher.unary(context, list_devices_, [=, this](const Call& call) -> Status {
    const auto tenant = rpc::tenant_of(call.caller, request->tenant());
    if (!tenant.ok()) return tenant.error();
    const auto limit = page_size_of(request->page_size());
    if (!limit.ok()) return limit.error();
    const auto after = parse_page_token(request->page_token());
    if (!after.ok()) return after.error();
    if (!request->prefix().empty() && !is_valid_id(request->prefix()))
      return Error{ErrorKind::kInvalid, "prefix is no beginning of a device id"};
    return read(call, [&](Connection& connection) {
      return give(list_devices(connection, *tenant, request->prefix(), *after, *limit), *response);
    });
  });
}

RegistryService::Reactor* RegistryService::SetDeviceEnabled(Context* context,
                                                            const v1::SetDeviceEnabledRequest* request,
                                                            v1::Device* response) {
  return parts_.dispatcher.unary(context, enable_device_, [=, this](const Call& call) -> Status {
    const auto names = names_of(call, request->tenant(), request->device());
    if (!names.ok()) return names.error();
    const Enabled enabled = request->enabled() ? Enabled::kYes : Enabled::kNo;
    return change(call, request->enabled() ? "enable device" : "disable device", names->tenant + "/" + names->device,
                  [&](Connection& connection) {
                    return give(set_device_enabled(connection, names->tenant, names->device, enabled), *response);
                  });
  });
}

RegistryService::Reactor* RegistryService::AddDeviceToken(Context* context, const v1::AddDeviceTokenRequest* request,
                                                          v1::AddDeviceTokenResponse* response) {
  return parts_.dispatcher.unary(context, add_token_, [=, this](const Call& call) -> Status {
    const auto names = names_of(call, request->tenant(), request->device());
    if (!names.ok()) return names.error();
    return change(call, "add device token", names->tenant + "/" + names->device, [&](Connection& connection) -> Status {
      auto token = add_device_token(connection, names->tenant, names->device);
      if (!token.ok()) return token.error();
      response->set_token(std::move(*token));
      return {};
    });
  });
}

RegistryService::Reactor* RegistryService::DeleteDevice(Context* context, const v1::DeleteDeviceRequest* request,
                                                        v1::DeleteDeviceResponse* /*response*/) {
  return parts_.dispatcher.unary(context, delete_device_, [=, this](const Call& call) -> Status {
    const auto names = names_of(call, request->tenant(), request->device());
    if (!names.ok()) return names.error();
    return change(call, "delete device", names->tenant + "/" + names->device,
                  [&](Connection& connection) { return delete_device(connection, names->tenant, names->device); });
  });
}

// API keys

RegistryService::Reactor* RegistryService::CreateApiKey(Context* context, const v1::CreateApiKeyRequest* request,
                                                        v1::CreateApiKeyResponse* response) {
  return parts_.dispatcher.unary(context, create_key_, [=, this](const Call& call) -> Status {
    const auto tenant = key_tenant_of(call, request->tenant());
    if (!tenant.ok()) return tenant.error();
    if (request->role() < v1::ROLE_VIEWER || request->role() > v1::ROLE_ADMIN)
      return Error{ErrorKind::kInvalid, "role must be viewer, operator or admin"};
    if (request->description().size() > kMostDescription)
      return Error{ErrorKind::kInvalid, "description is longer than 200 characters"};
    if (request->expires_at_us() < 0) return Error{ErrorKind::kInvalid, "expires_at_us is negative"};
    return change(call, "create API key", *tenant, [&](Connection& connection) {
      return give(
          create_api_key(connection, *tenant, request->role(), request->description(), request->expires_at_us()),
          *response);
    });
  });
}

RegistryService::Reactor* RegistryService::ListApiKeys(Context* context, const v1::ListApiKeysRequest* request,
                                                       v1::ListApiKeysResponse* response) {
  return parts_.dispatcher.unary(context, list_keys_, [=, this](const Call& call) -> Status {
    const auto tenant = key_tenant_of(call, request->tenant());
    if (!tenant.ok()) return tenant.error();
    const auto limit = page_size_of(request->page_size());
    if (!limit.ok()) return limit.error();
    const auto after = parse_page_token(request->page_token());
    if (!after.ok()) return after.error();
    return read(call, [&](Connection& connection) {
      return give(list_api_keys(connection, *tenant, *after, *limit), *response);
    });
  });
}

RegistryService::Reactor* RegistryService::DeleteApiKey(Context* context, const v1::DeleteApiKeyRequest* request,
                                                        v1::DeleteApiKeyResponse* /*response*/) {
  return parts_.dispatcher.unary(context, delete_key_, [=, this](const Call& call) -> Status {
    return change(call, "delete API key", request->key_id(), [&](Connection& connection) {
      return delete_api_key(connection, call.caller.tenant, request->key_id());
    });
  });
}

}  // namespace millrace::registry
