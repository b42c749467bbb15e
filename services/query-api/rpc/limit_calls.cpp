// Limits of QueryService.
#include <algorithm>
#include <array>

#include "rpc/query_service.hpp"

namespace millrace::query_api {
namespace {

namespace api = query::v1;

constexpr std::array kNames{"messages", "bytes", "points", "connects"};

void add_entries(const registry_view::Limits& limits, const LimitsLeft& told, api::GetLimitUseResponse& response) {
  const std::array rates{&limits.messages, &limits.bytes, &limits.points, &limits.connects};
  for (std::size_t i = 0; i < rates.size(); ++i) {
    const registry_view::Rate& rate = *rates[i];
    if (!rate.limited()) continue;
    auto* entry = response.add_entries();
    entry->set_limit(kNames[i]);
    entry->set_per_second(rate.per_second);
    entry->set_burst(rate.burst);
    // What no gateway has taken a share of is there as a whole.
    const double unshared = told.gateways == 0 ? 1 : std::max(0.0, 1 - told.share[i]);
    entry->set_left(std::min(rate.burst, told.left[i] + unshared * rate.burst));
  }
  if (limits.connections == 0) return;
  auto* entry = response.add_entries();
  entry->set_limit("connections");
  entry->set_burst(limits.connections);
  entry->set_left(static_cast<double>(limits.connections) - static_cast<double>(told.connections));
}

}  // namespace

grpc::ServerUnaryReactor* QueryService::GetLimitUse(grpc::CallbackServerContext* context,
                                                    const api::GetLimitUseRequest* request,
                                                    api::GetLimitUseResponse* response) {
  return parts_.dispatcher.unary(context, limit_use_,
                                 [=, this](const rpc::Call& call) { return limit_use(call, *request, *response); });
}

Status QueryService::limit_use(const rpc::Call& call, const api::GetLimitUseRequest& request,
                               api::GetLimitUseResponse& response) {
  const auto tenant = rpc::tenant_of(call.caller, request.tenant());
  if (!tenant.ok()) return tenant.error();
  LimitsLeft told;
  registry_view::LimitsPtr limits;
  if (request.device().empty()) {
    told = parts_.limit_use.of_tenant(*tenant);
    limits = parts_.registry.limits(*tenant, {}).tenant;
  } else {
    const auto device = device_of(*tenant, request.device());
    if (!device.ok()) return device.error();
    told = parts_.limit_use.of_device(*tenant, device->device_key);
    limits = parts_.registry.limits(*tenant, request.device()).device;
  }
  response.set_connections(told.connections);
  response.set_dropped(told.dropped);
  response.set_gateways(told.gateways);
  if (limits) add_entries(*limits, told, response);
  return {};
}

}  // namespace millrace::query_api
