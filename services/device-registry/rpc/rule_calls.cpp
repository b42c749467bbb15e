// Rules and the webhook of RegistryService.
#include <millrace/base/ids.hpp>
#include <millrace/rules/rule.hpp>

#include "rpc/call_parts.hpp"
#include "rpc/registry_service.hpp"
#include "store/page_token.hpp"
#include "store/rules.hpp"
#include "store/webhooks.hpp"

namespace millrace::registry {
namespace {

using postgres::Connection;
using rpc::Call;

// The rule with its tenant, checked by the library that will run it.
Result<rules::v1::Rule> checked(const Call& call, const rules::v1::Rule& asked) {
  auto tenant = rpc::tenant_of(call.caller, asked.tenant());
  if (!tenant.ok()) return tenant.error();
  rules::v1::Rule rule = asked;
  rule.set_tenant(*tenant);
  if (rule.severity() < rules::v1::SEVERITY_INFO || rule.severity() > rules::v1::SEVERITY_CRITICAL)
    return Error{ErrorKind::kInvalid, "severity must be info, warning or critical"};
  const auto decoded = rules::decode(rule.SerializeAsString());
  if (!decoded.ok()) return Error{ErrorKind::kInvalid, "rule id is empty"};
  if (auto valid = rules::validate(*decoded); !valid.ok()) return valid.error();
  return rule;
}

std::string entity(const std::string& tenant, const std::string& rule) { return tenant + "/" + rule; }

}  // namespace

RegistryService::Reactor* RegistryService::CreateRule(Context* context, const v1::CreateRuleRequest* request,
                                                      rules::v1::Rule* response) {
  return parts_.dispatcher.unary(context, create_rule_, [=, this](const Call& call) -> Status {
    const auto rule = checked(call, request->rule());
    if (!rule.ok()) return rule.error();
    return change(call, "create rule", entity(rule->tenant(), rule->rule()),
                  [&](Connection& connection) { return give(create_rule(connection, *rule), *response); });
  });
}

RegistryService::Reactor* RegistryService::UpdateRule(Context* context, const v1::UpdateRuleRequest* request,
                                                      rules::v1::Rule* response) {
  return parts_.dispatcher.unary(context, update_rule_, [=, this](const Call& call) -> Status {
    const auto rule = checked(call, request->rule());
    if (!rule.ok()) return rule.error();
    return change(call, "update rule", entity(rule->tenant(), rule->rule()),
                  [&](Connection& connection) { return give(update_rule(connection, *rule), *response); });
  });
}

RegistryService::Reactor* RegistryService::GetRule(Context* context, const v1::GetRuleRequest* request,
                                                   rules::v1::Rule* response) {
  return parts_.dispatcher.unary(context, get_rule_, [=, this](const Call& call) -> Status {
    const auto tenant = rpc::tenant_of(call.caller, request->tenant());
    if (!tenant.ok()) return tenant.error();
    return read(
        call, [&](Connection& connection) { return give(get_rule(connection, *tenant, request->rule()), *response); });
  });
}

RegistryService::Reactor* RegistryService::ListRules(Context* context, const v1::ListRulesRequest* request,
                                                     v1::ListRulesResponse* response) {
  return parts_.dispatcher.unary(context, list_rules_, [=, this](const Call& call) -> Status {
    const auto tenant = rpc::tenant_of(call.caller, request->tenant());
    if (!tenant.ok()) return tenant.error();
    const auto limit = page_size_of(request->page_size());
    if (!limit.ok()) return limit.error();
    const auto after = parse_page_token(request->page_token());
    if (!after.ok()) return after.error();
    return read(
        call, [&](Connection& connection) { return give(list_rules(connection, *tenant, *after, *limit), *response); });
  });
}

RegistryService::Reactor* RegistryService::DeleteRule(Context* context, const v1::DeleteRuleRequest* request,
                                                      v1::DeleteRuleResponse* /*response*/) {
  return parts_.dispatcher.unary(context, delete_rule_, [=, this](const Call& call) -> Status {
    const auto tenant = rpc::tenant_of(call.caller, request->tenant());
    if (!tenant.ok()) return tenant.error();
    return change(call, "delete rule", entity(*tenant, request->rule()),
                  [&](Connection& connection) { return delete_rule(connection, *tenant, request->rule()); });
  });
}

RegistryService::Reactor* RegistryService::SetWebhook(Context* context, const v1::SetWebhookRequest* request,
                                                      v1::SetWebhookResponse* response) {
  return parts_.dispatcher.unary(context, set_webhook_, [=, this](const Call& call) -> Status {
    const auto tenant = rpc::tenant_of(call.caller, request->tenant());
    if (!tenant.ok()) return tenant.error();
    if (auto valid = check_webhook_url(request->url()); !valid.ok()) return valid;
    return change(call, "set webhook", *tenant, [&](Connection& connection) {
      return give(set_webhook(connection, *tenant, request->url()), *response);
    });
  });
}

RegistryService::Reactor* RegistryService::GetWebhook(Context* context, const v1::GetWebhookRequest* request,
                                                      v1::Webhook* response) {
  return parts_.dispatcher.unary(context, get_webhook_, [=, this](const Call& call) -> Status {
    const auto tenant = rpc::tenant_of(call.caller, request->tenant());
    if (!tenant.ok()) return tenant.error();
    return read(call, [&](Connection& connection) { return give(get_webhook(connection, *tenant), *response); });
  });
}

RegistryService::Reactor* RegistryService::DeleteWebhook(Context* context, const v1::DeleteWebhookRequest* request,
                                                         v1::DeleteWebhookResponse* /*response*/) {
  return parts_.dispatcher.unary(context, delete_webhook_, [=, this](const Call& call) -> Status {
    const auto tenant = rpc::tenant_of(call.caller, request->tenant());
    if (!tenant.ok()) return tenant.error();
    return change(call, "delete webhook", *tenant,
                  [&](Connection& connection) { return delete_webhook(connection, *tenant); });
  });
}

}  // namespace millrace::registry
