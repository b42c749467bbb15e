// ListPresence of QueryService.
#include <millrace/base/ids.hpp>

#include "read/page_token.hpp"
#include "rpc/query_service.hpp"
#include "rpc/request_checks.hpp"

namespace millrace::query_api {
namespace {

namespace api = query::v1;

constexpr int kMostClients = 1'000;

std::string scope_of(const std::string& tenant, const PresenceFilter& filter) {
  std::string scope = "presence\n" + tenant + '\n' + std::to_string(filter.state) + '\n' + filter.gateway;
  for (const std::string& device : filter.devices) scope += '\n' + device;
  return scope;
}

}  // namespace

grpc::ServerUnaryReactor* QueryService::ListPresence(grpc::CallbackServerContext* context,
                                                     const api::ListPresenceRequest* request,
                                                     api::ListPresenceResponse* response) {
  return parts_.dispatcher.unary(context, presence_,
                                 [=, this](const rpc::Call& call) { return presence(call, *request, *response); });
}

Status QueryService::presence(const rpc::Call& call, const api::ListPresenceRequest& request,
                              api::ListPresenceResponse& response) {
  const auto tenant = rpc::tenant_of(call.caller, request.tenant());
  if (!tenant.ok()) return tenant.error();
  if (auto valid = check_names("devices", request.devices()); !valid.ok()) return valid;
  if (!devices::v1::PresenceState_IsValid(request.state())) {
    return Error{ErrorKind::kInvalid, "state " + std::to_string(request.state()) + " is none"};
  }
  for (const std::string& name : request.devices()) {
    if (const auto device = device_of(tenant.value(), name); !device.ok()) return device.error();
  }
  const auto size = page_size(request.page_size(), 100, kMostClients);
  if (!size.ok()) return size.error();
  const PresenceFilter filter{.devices = {request.devices().begin(), request.devices().end()},
                              .state = request.state(),
                              .gateway = request.gateway()};
  const std::string scope = scope_of(tenant.value(), filter);
  std::string after;
  if (!request.page_token().empty()) {
    const auto position = read_page_token(scope, request.page_token());
    if (!position.ok()) return position.error();
    auto text = text_of_numbers(position.value());
    if (!text.ok()) return text.error();
    after = std::move(text).value();
  }
  if (!parts_.presence.ready()) {
    return Error{ErrorKind::kUnavailable, "who is connected is not known yet: the topic presence is being read"};
  }
  auto page = parts_.presence.book().page(
      tenant.value(), filter, after, static_cast<std::size_t>(size.value()),
      [&](const std::string& device) { return parts_.registry.find(tenant.value(), device).has_value(); });
  for (auto& client : page.clients) *response.add_clients() = std::move(client);
  if (page.next) response.set_next_page_token(make_page_token(scope, numbers_of_text(*page.next)));
  return {};
}

}  // namespace millrace::query_api
