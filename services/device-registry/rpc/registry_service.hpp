#pragma once

#include <functional>
#include <string>

#include <millrace/observability/log.hpp>
#include <millrace/postgres/pool.hpp>
#include <millrace/registry/v1/registry.grpc.pb.h>
#include <millrace/rpc/call.hpp>

#include "relay/outbox_relay.hpp"
#include "replay/dead_letter_replay.hpp"

namespace millrace::registry {

/// What the service works with; all outlive it.
struct RegistryParts {
  rpc::Dispatcher& dispatcher;
  postgres::Pool& database;
  OutboxRelay& relay;
  DeadLetterReplay& replay;
};

/// RegistryService over gRPC: parse, check, call the store in one transaction, translate. Handlers run on the
/// dispatcher's pool.
class RegistryService final : public v1::RegistryService::CallbackService {
 public:
  explicit RegistryService(const RegistryParts& parts);

  using Context = grpc::CallbackServerContext;
  using Reactor = grpc::ServerUnaryReactor;
  Reactor* CreateTenant(Context* context, const v1::CreateTenantRequest* request, v1::Tenant* response) override;
  Reactor* GetTenant(Context* context, const v1::GetTenantRequest* request, v1::Tenant* response) override;
  Reactor* ListTenants(Context* context, const v1::ListTenantsRequest* request,
                       v1::ListTenantsResponse* response) override;
  Reactor* DeleteTenant(Context* context, const v1::DeleteTenantRequest* request,
                        v1::DeleteTenantResponse* response) override;
  Reactor* CreateDevice(Context* context, const v1::CreateDeviceRequest* request,
                        v1::CreateDeviceResponse* response) override;
  grpc::ServerBidiReactor<v1::CreateDeviceRequest, v1::ImportDeviceResult>* ImportDevices(Context* context) override;
  Reactor* GetDevice(Context* context, const v1::GetDeviceRequest* request, v1::Device* response) override;
  Reactor* ListDevices(Context* context, const v1::ListDevicesRequest* request,
                       v1::ListDevicesResponse* response) override;
  Reactor* SetDeviceEnabled(Context* context, const v1::SetDeviceEnabledRequest* request,
                            v1::Device* response) override;
  Reactor* AddDeviceToken(Context* context, const v1::AddDeviceTokenRequest* request,
                          v1::AddDeviceTokenResponse* response) override;
  Reactor* DeleteDevice(Context* context, const v1::DeleteDeviceRequest* request,
                        v1::DeleteDeviceResponse* response) override;
  Reactor* CreateApiKey(Context* context, const v1::CreateApiKeyRequest* request,
                        v1::CreateApiKeyResponse* response) override;
  Reactor* ListApiKeys(Context* context, const v1::ListApiKeysRequest* request,
                       v1::ListApiKeysResponse* response) override;
  Reactor* DeleteApiKey(Context* context, const v1::DeleteApiKeyRequest* request,
                        v1::DeleteApiKeyResponse* response) override;
  Reactor* ReplayDeadLetter(Context* context, const v1::ReplayDeadLetterRequest* request,
                            v1::ReplayDeadLetterResponse* response) override;

  Reactor* CreateRule(Context* context, const v1::CreateRuleRequest* request, rules::v1::Rule* response) override;
  Reactor* UpdateRule(Context* context, const v1::UpdateRuleRequest* request, rules::v1::Rule* response) override;
  Reactor* GetRule(Context* context, const v1::GetRuleRequest* request, rules::v1::Rule* response) override;
  Reactor* ListRules(Context* context, const v1::ListRulesRequest* request, v1::ListRulesResponse* response) override;
  Reactor* DeleteRule(Context* context, const v1::DeleteRuleRequest* request,
                      v1::DeleteRuleResponse* response) override;
  Reactor* SetWebhook(Context* context, const v1::SetWebhookRequest* request,
                      v1::SetWebhookResponse* response) override;
  Reactor* GetWebhook(Context* context, const v1::GetWebhookRequest* request, v1::Webhook* response) override;
  Reactor* DeleteWebhook(Context* context, const v1::DeleteWebhookRequest* request,
                         v1::DeleteWebhookResponse* response) override;

  Reactor* SetTenantLimits(Context* context, const v1::SetTenantLimitsRequest* request,
                           v1::LimitsEntry* response) override;
  Reactor* SetDeviceLimits(Context* context, const v1::SetDeviceLimitsRequest* request,
                           v1::LimitsEntry* response) override;
  Reactor* GetLimits(Context* context, const v1::GetLimitsRequest* request, v1::LimitsEntry* response) override;

  Reactor* AddCredential(Context* context, const v1::AddCredentialRequest* request,
                         v1::AddCredentialResponse* response) override;
  Reactor* RemoveCredential(Context* context, const v1::RemoveCredentialRequest* request,
                            v1::RemoveCredentialResponse* response) override;
  Reactor* ListCredentials(Context* context, const v1::ListCredentialsRequest* request,
                           v1::ListCredentialsResponse* response) override;
  Reactor* SetDeviceChildren(Context* context, const v1::SetDeviceChildrenRequest* request,
                             v1::SetDeviceChildrenResponse* response) override;
  Reactor* SetDeviceTopics(Context* context, const v1::SetDeviceTopicsRequest* request,
                           v1::SetDeviceTopicsResponse* response) override;
  Reactor* SetDeviceAckLevel(Context* context, const v1::SetDeviceAckLevelRequest* request,
                             v1::SetDeviceAckLevelResponse* response) override;
  Reactor* GetDeviceAccess(Context* context, const v1::GetDeviceAccessRequest* request,
                           v1::GetDeviceAccessResponse* response) override;
  Reactor* SetAuthority(Context* context, const v1::SetAuthorityRequest* request,
                        v1::AuthorityEntry* response) override;
  Reactor* ListAuthorities(Context* context, const v1::ListAuthoritiesRequest* request,
                           v1::ListAuthoritiesResponse* response) override;
  Reactor* DeleteAuthority(Context* context, const v1::DeleteAuthorityRequest* request,
                           v1::DeleteAuthorityResponse* response) override;
  Reactor* SetPolicy(Context* context, const v1::SetPolicyRequest* request, v1::PolicyEntry* response) override;
  Reactor* GetPolicy(Context* context, const v1::GetPolicyRequest* request, v1::PolicyEntry* response) override;
  Reactor* ProvisionDevice(Context* context, const v1::ProvisionDeviceRequest* request,
                           v1::ProvisionDeviceResponse* response) override;

  Reactor* SetDeviceType(Context* context, const v1::SetDeviceTypeRequest* request, v1::DeviceType* response) override;
  Reactor* GetDeviceType(Context* context, const v1::GetDeviceTypeRequest* request,
                         v1::DeviceTypeEntry* response) override;
  Reactor* ListDeviceTypes(Context* context, const v1::ListDeviceTypesRequest* request,
                           v1::ListDeviceTypesResponse* response) override;
  Reactor* DeleteDeviceType(Context* context, const v1::DeleteDeviceTypeRequest* request,
                            v1::DeleteDeviceTypeResponse* response) override;
  Reactor* SetTypeOfDevice(Context* context, const v1::SetTypeOfDeviceRequest* request, v1::Device* response) override;

  Reactor* SetRetention(Context* context, const v1::SetRetentionRequest* request,
                        v1::RetentionEntry* response) override;
  Reactor* GetRetention(Context* context, const v1::GetRetentionRequest* request,
                        v1::RetentionEntry* response) override;

  /// Runs `work` in one transaction and tells the relay. For ImportDevices too; blocks.
  [[nodiscard]] Status change(const rpc::Call& call, std::string_view what, std::string_view entity,
                              const std::function<Status(postgres::Connection&)>& work);
  /// kUnavailable until device keys are safe to give.
  [[nodiscard]] Status check_keys_safe() const;

 private:
  [[nodiscard]] Status read(const rpc::Call& call, const std::function<Status(postgres::Connection&)>& work);

  RegistryParts parts_;
  observability::Logger audit_{"audit"};
  rpc::Method create_tenant_, get_tenant_, list_tenants_, delete_tenant_;
  rpc::Method create_device_, import_devices_, get_device_, list_devices_, enable_device_, add_token_, delete_device_;
  rpc::Method create_key_, list_keys_, delete_key_;
  rpc::Method replay_dead_letter_;
  rpc::Method create_rule_, update_rule_, get_rule_, list_rules_, delete_rule_;
  rpc::Method set_webhook_, get_webhook_, delete_webhook_;
  rpc::Method set_tenant_limits_, set_device_limits_, get_limits_;
  rpc::Method add_credential_, remove_credential_, list_credentials_, set_children_, set_topics_, set_ack_level_,
      get_access_;
  rpc::Method set_authority_, list_authorities_, delete_authority_, set_policy_, get_policy_, provision_device_;
  rpc::Method set_type_, get_type_, list_types_, delete_type_, set_type_of_device_;
  rpc::Method set_retention_, get_retention_;
};

}  // namespace millrace::registry
