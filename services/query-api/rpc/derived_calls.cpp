// ListWindows and ListAlerts of QueryService.
#include <array>
#include <bit>

#include <millrace/base/digest.hpp>
#include <millrace/base/ids.hpp>

#include "read/page_token.hpp"
#include "rpc/query_service.hpp"
#include "rpc/request_checks.hpp"

namespace millrace::query_api {
namespace {

namespace api = query::v1;

/// So many windows with the longest names stay below the 4 MB that gRPC clients take by default.
constexpr int kMostWindows = 10'000;
constexpr int kMostAlerts = 1'000;

/// The 16 bytes of an episode's id as two numbers of a page token, and back.
Result<std::array<std::int64_t, 2>> numbers_of(const std::string& episode) {
  const auto bytes = from_hex(episode);
  if (!bytes.ok() || bytes->size() != 16) return Error{ErrorKind::kCorrupt, "storage.alert: alert_id is no such id"};
  std::array<std::int64_t, 2> numbers{};
  for (std::size_t i = 0; i < 16; ++i) {
    auto& number = numbers[i / 8];
    number = std::bit_cast<std::int64_t>((std::bit_cast<std::uint64_t>(number) << 8U) |
                                         static_cast<unsigned char>((*bytes)[i]));
  }
  return numbers;
}

std::string episode_of(std::int64_t high, std::int64_t low) {
  std::string bytes;
  for (const std::int64_t number : {high, low}) {
    for (int shift = 56; shift >= 0; shift -= 8) {
      bytes += static_cast<char>(std::bit_cast<std::uint64_t>(number) >> static_cast<unsigned>(shift));
    }
  }
  return to_hex(bytes);
}

std::string scope_of(const std::string& tenant, std::int32_t device_key, const api::ListWindowsRequest& request) {
  return "windows\n" + tenant + '\n' + std::to_string(device_key) + '\n' + request.metric() + '\n' +
         std::to_string(request.from_us()) + '\n' + std::to_string(request.to_us());
}

std::string scope_of(const AlertFilter& filter) {
  return "alerts\n" + filter.tenant + '\n' + filter.device + '\n' + filter.rule + '\n' + std::to_string(filter.state) +
         '\n' + std::to_string(filter.min_severity) + '\n' + std::to_string(filter.from) + '\n' +
         std::to_string(filter.to);
}

Result<AlertFilter> filter_of(const std::string& tenant, const api::ListAlertsRequest& request) {
  AlertFilter filter;
  filter.tenant = tenant;
  filter.device = request.device();
  filter.rule = request.rule();
  filter.state = request.state();
  filter.min_severity = request.min_severity();
  filter.from = request.from_us() == 0 ? kFirstTime : request.from_us();
  filter.to = request.to_us() == 0 ? kLastTime : request.to_us();
  if (!alerts::v1::State_IsValid(filter.state)) {
    return Error{ErrorKind::kInvalid, "state " + std::to_string(filter.state) + " is none"};
  }
  if (!rules::v1::Severity_IsValid(filter.min_severity)) {
    return Error{ErrorKind::kInvalid, "min_severity " + std::to_string(filter.min_severity) + " is none"};
  }
  if (auto valid = check_times(filter.from, filter.to); !valid.ok()) return valid.error();
  if (!filter.rule.empty()) {
    if (auto valid = check_id("rule id", filter.rule); !valid.ok()) return valid.error();
  }
  return filter;
}

}  // namespace

grpc::ServerUnaryReactor* QueryService::ListWindows(grpc::CallbackServerContext* context,
                                                    const api::ListWindowsRequest* request,
                                                    api::ListWindowsResponse* response) {
  return parts_.dispatcher.unary(context, windows_,
                                 [=, this](const rpc::Call& call) { return windows(call, *request, *response); });
}

Status QueryService::windows(const rpc::Call& call, const api::ListWindowsRequest& request,
                             api::ListWindowsResponse& response) {
  const auto tenant = rpc::tenant_of(call.caller, request.tenant());
  if (!tenant.ok()) return tenant.error();
  if (auto valid = check_metric(request.metric()); !valid.ok()) return valid;
  if (auto valid = check_times(request.from_us(), request.to_us()); !valid.ok()) return valid;
  const auto rows = page_size(request.page_size(), 1'000, kMostWindows);
  if (!rows.ok()) return rows.error();
  const auto device = device_of(tenant.value(), request.device());
  if (!device.ok()) return device.error();
  const std::string scope = scope_of(tenant.value(), device->device_key, request);
  std::optional<WindowPosition> after;
  if (!request.page_token().empty()) {
    const auto position = read_page_token(scope, request.page_token());
    if (!position.ok()) return position.error();
    if (position->size() != 2) return Error{ErrorKind::kInvalid, "page_token is not one of ListWindows"};
    after = WindowPosition{(*position)[0], (*position)[1]};
  }
  const auto series = parts_.series.resolve(tenant.value(), device->device_key, request.metric(), patience_of(call));
  if (!series.ok()) return series.error();
  const auto page = parts_.derived.windows(series.value(), {request.from_us(), request.to_us(), rows.value()}, after,
                                           patience_of(call));
  if (!page.ok()) return page.error();
  for (const WindowFigures& window : page->windows) {
    auto* out = response.add_windows();
    out->set_tenant(tenant.value());
    out->set_device(request.device());
    out->set_device_key(device->device_key);
    out->set_metric(request.metric());
    out->set_start_us(window.start);
    out->set_size_us(window.size_us);
    out->set_revision(window.revision);
    out->set_final(window.is_final);
    out->set_count(window.count);
    out->set_min(window.min);
    out->set_max(window.max);
    out->set_mean(window.mean);
    out->set_last(window.last);
    out->set_last_time_us(window.last_time);
    out->set_approximate(window.approximate);
  }
  if (page->next) {
    response.set_next_page_token(make_page_token(scope, std::array{page->next->start, page->next->size_us}));
  }
  return {};
}

grpc::ServerUnaryReactor* QueryService::ListAlerts(grpc::CallbackServerContext* context,
                                                   const api::ListAlertsRequest* request,
                                                   api::ListAlertsResponse* response) {
  return parts_.dispatcher.unary(context, alerts_,
                                 [=, this](const rpc::Call& call) { return alerts(call, *request, *response); });
}

Status QueryService::alerts(const rpc::Call& call, const api::ListAlertsRequest& request,
                            api::ListAlertsResponse& response) {
  const auto tenant = rpc::tenant_of(call.caller, request.tenant());
  if (!tenant.ok()) return tenant.error();
  if (!request.alert_id().empty()) return alert_history(call, tenant.value(), request, response);
  const auto filter = filter_of(tenant.value(), request);
  if (!filter.ok()) return filter.error();
  const auto rows = page_size(request.page_size(), 100, kMostAlerts);
  if (!rows.ok()) return rows.error();
  if (!request.device().empty()) {
    if (const auto device = device_of(tenant.value(), request.device()); !device.ok()) return device.error();
  }
  const std::string scope = scope_of(filter.value());
  std::optional<AlertPosition> before;
  if (!request.page_token().empty()) {
    const auto position = read_page_token(scope, request.page_token());
    if (!position.ok()) return position.error();
    if (position->size() != 3) return Error{ErrorKind::kInvalid, "page_token is not one of ListAlerts"};
    before = AlertPosition{(*position)[0], episode_of((*position)[1], (*position)[2])};
  }
  const auto page = parts_.derived.alerts(filter.value(), rows.value(), before, patience_of(call));
  if (!page.ok()) return page.error();
  for (const std::string& event : page->events) {
    if (!response.add_alerts()->ParseFromString(event)) {
      return Error{ErrorKind::kCorrupt, "storage.alert: an event is no alert"};
    }
  }
  if (page->next) {
    const auto episode = numbers_of(page->next->episode);
    if (!episode.ok()) return episode.error();
    response.set_next_page_token(
        make_page_token(scope, std::array{page->next->raised_at, (*episode)[0], (*episode)[1]}));
  }
  return {};
}

Status QueryService::alert_history(const rpc::Call& call, const std::string& tenant,
                                   const api::ListAlertsRequest& request, api::ListAlertsResponse& response) {
  if (request.state() != 0 || !request.device().empty() || !request.rule().empty() || request.min_severity() != 0 ||
      request.from_us() != 0 || request.to_us() != 0) {
    return Error{ErrorKind::kInvalid, "alert_id asks for one alert: no other filter may be set"};
  }
  if (const auto valid = numbers_of(request.alert_id()); !valid.ok()) {
    return Error{ErrorKind::kInvalid, "alert_id has 32 hexadecimal digits"};
  }
  const auto rows = page_size(request.page_size(), 100, kMostAlerts);
  if (!rows.ok()) return rows.error();
  const std::string scope = "alert\n" + tenant + '\n' + request.alert_id();
  std::int64_t after = 0;
  if (!request.page_token().empty()) {
    const auto position = read_page_token(scope, request.page_token());
    if (!position.ok()) return position.error();
    if (position->size() != 1) return Error{ErrorKind::kInvalid, "page_token is not one of ListAlerts"};
    after = position->front();
  }
  const auto page = parts_.derived.history(tenant, request.alert_id(), after, rows.value(), patience_of(call));
  if (!page.ok()) return page.error();
  if (page->events.empty() && request.page_token().empty()) {
    return Error{ErrorKind::kNotFound, "there is no alert " + request.alert_id() + " in tenant " + tenant};
  }
  for (const std::string& event : page->events) {
    if (!response.add_alerts()->ParseFromString(event)) {
      return Error{ErrorKind::kCorrupt, "storage.alert: an event is no alert"};
    }
  }
  if (page->next) response.set_next_page_token(make_page_token(scope, std::array{*page->next}));
  return {};
}

}  // namespace millrace::query_api
