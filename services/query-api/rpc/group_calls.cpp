// Aggregate and TopN of QueryService.
#include <algorithm>
#include <array>

#include "read/page_token.hpp"
#include "rpc/query_service.hpp"
#include "rpc/request_checks.hpp"

namespace millrace::query_api {
namespace {

namespace api = query::v1;

constexpr int kMostPerPage = 10'000;
constexpr int kMostRanked = 1'000;

/// How PostgreSQL calls it; empty: none.
std::string unit_name(api::CalendarUnit unit) {
  switch (static_cast<int>(unit)) {
    case api::CALENDAR_UNIT_DAY:
      return "day";
    case api::CALENDAR_UNIT_WEEK:
      return "week";
    case api::CALENDAR_UNIT_MONTH:
      return "month";
    case api::CALENDAR_UNIT_YEAR:
      return "year";
    default:
      return {};
  }
}

Result<Cut> cut_of(const api::AggregateRequest& request) {
  Cut cut{.step_us = request.step_us(), .unit = unit_name(request.unit()), .zone = request.time_zone()};
  if (request.unit() != api::CALENDAR_UNIT_UNSPECIFIED && cut.unit.empty()) {
    return Error{ErrorKind::kInvalid, "unit " + std::to_string(request.unit()) + " is none"};
  }
  if ((cut.step_us != 0) == !cut.unit.empty()) {
    return Error{ErrorKind::kInvalid, "exactly one of step_us and unit must be set"};
  }
  if (cut.step_us != 0) {
    if (!cut.zone.empty()) return Error{ErrorKind::kInvalid, "time_zone goes with unit, not with step_us"};
    if (auto valid = check_step(cut.step_us); !valid.ok()) return valid.error();
  } else if (cut.zone.empty()) {
    cut.zone = "UTC";
  } else if (cut.zone.find('\0') != std::string::npos) {
    return Error{ErrorKind::kInvalid, "time_zone holds U+0000"};
  }
  return cut;
}

std::string scope_of(const std::string& tenant, const api::AggregateRequest& request) {
  std::string scope = "aggregate\n" + tenant + '\n' + request.metric() + '\n' + std::to_string(request.from_us()) +
                      '\n' + std::to_string(request.to_us()) + '\n' + std::to_string(request.step_us()) + '\n' +
                      std::to_string(request.unit()) + '\n' + request.time_zone();
  for (const std::string& device : request.devices()) scope += '\n' + device;
  return scope;
}

void add(const GroupBucket& bucket, api::AggregateResponse& response) {
  auto* out = response.add_buckets();
  out->set_start_us(bucket.start);
  out->set_end_us(bucket.end);
  out->set_count(bucket.count);
  out->set_sum(bucket.sum);
  out->set_mean(bucket.mean);
  out->set_min(bucket.min);
  out->set_max(bucket.max);
  out->set_first(bucket.first);
  out->set_last(bucket.last);
  out->set_first_time_us(bucket.first_time);
  out->set_last_time_us(bucket.last_time);
  out->set_devices(bucket.devices);
}

Result<Measure> measure_of(api::Figure figure) {
  switch (static_cast<int>(figure)) {
    case api::FIGURE_UNSPECIFIED:
    case api::FIGURE_MEAN:
      return Measure::kMean;
    case api::FIGURE_MIN:
      return Measure::kMin;
    case api::FIGURE_MAX:
      return Measure::kMax;
    case api::FIGURE_SUM:
      return Measure::kSum;
    case api::FIGURE_COUNT:
      return Measure::kCount;
    default:
      return Error{ErrorKind::kInvalid, "figure " + std::to_string(figure) + " is none"};
  }
}

}  // namespace

grpc::ServerUnaryReactor* QueryService::Aggregate(grpc::CallbackServerContext* context,
                                                  const api::AggregateRequest* request,
                                                  api::AggregateResponse* response) {
  return parts_.dispatcher.unary(context, aggregate_,
                                 [=, this](const rpc::Call& call) { return aggregate(call, *request, *response); });
}

Status QueryService::aggregate(const rpc::Call& call, const api::AggregateRequest& request,
                               api::AggregateResponse& response) {
  const auto tenant = rpc::tenant_of(call.caller, request.tenant());
  if (!tenant.ok()) return tenant.error();
  if (auto valid = check_metric(request.metric()); !valid.ok()) return valid;
  if (auto valid = check_times(request.from_us(), request.to_us()); !valid.ok()) return valid;
  const auto cut = cut_of(request);
  if (!cut.ok()) return cut.error();
  const auto rows = page_size(request.page_size(), 1'000, kMostPerPage);
  if (!rows.ok()) return rows.error();
  const Patience patience = patience_of(call);
  if (cut->step_us == 0) {
    if (auto known = parts_.groups.check_zone(cut->zone, patience); !known.ok()) return known;
  }
  auto devices = keys_of(tenant.value(), request.devices());
  if (!devices.ok()) return devices.error();
  const std::string scope = scope_of(tenant.value(), request);
  TimeUs from = request.from_us();
  if (!request.page_token().empty()) {
    const auto position = read_page_token(scope, request.page_token());
    if (!position.ok()) return position.error();
    if (position->size() != 1) return Error{ErrorKind::kInvalid, "page_token is not one of Aggregate"};
    from = std::max(from, position->front());
  }
  const auto metric = parts_.series.resolve(tenant.value(), 0, request.metric(), patience);
  if (!metric.ok()) return metric.error();
  const Group group{metric->metric_id, std::move(devices).value()};
  const auto page = of_tiers<GroupPage>(
      parts_.tiers, from, request.to_us(), patience,
      [&] { return parts_.groups.aggregate(group, cut.value(), from, request.to_us(), rows.value(), patience); },
      [&] { return parts_.archived.aggregate(group, cut.value(), from, request.to_us(), rows.value(), patience); });
  if (!page.ok()) return page.error();
  for (const GroupBucket& bucket : page->buckets) add(bucket, response);
  if (page->next_from) response.set_next_page_token(make_page_token(scope, std::array{*page->next_from}));
  return {};
}

grpc::ServerUnaryReactor* QueryService::TopN(grpc::CallbackServerContext* context, const api::TopNRequest* request,
                                             api::TopNResponse* response) {
  return parts_.dispatcher.unary(context, top_,
                                 [=, this](const rpc::Call& call) { return top(call, *request, *response); });
}

Status QueryService::top(const rpc::Call& call, const api::TopNRequest& request, api::TopNResponse& response) {
  const auto tenant = rpc::tenant_of(call.caller, request.tenant());
  if (!tenant.ok()) return tenant.error();
  if (auto valid = check_metric(request.metric()); !valid.ok()) return valid;
  if (auto valid = check_times(request.from_us(), request.to_us()); !valid.ok()) return valid;
  const auto measure = measure_of(request.figure());
  if (!measure.ok()) return measure.error();
  if (request.n() < 0 || request.n() > kMostRanked) {
    return Error{ErrorKind::kInvalid,
                 "n " + std::to_string(request.n()) + " is not between 0 and " + std::to_string(kMostRanked)};
  }
  auto devices = keys_of(tenant.value(), request.devices());
  if (!devices.ok()) return devices.error();
  const Patience patience = patience_of(call);
  const auto metric = parts_.series.resolve(tenant.value(), 0, request.metric(), patience);
  if (!metric.ok()) return metric.error();
  const Group group{metric->metric_id, std::move(devices).value()};
  const Rank rank = request.lowest() ? Rank::kLowest : Rank::kHighest;
  const int most = request.n() == 0 ? 10 : request.n();
  const auto ranked = [&](auto& reader) {
    return reader.top(group, request.from_us(), request.to_us(), measure.value(), rank, most, patience);
  };
  const auto best = of_tiers<std::vector<Ranked>>(
      parts_.tiers, request.from_us(), request.to_us(), patience, [&] { return ranked(parts_.groups); },
      [&] { return ranked(parts_.archived); });
  if (!best.ok()) return best.error();
  for (const Ranked& one : best.value()) {
    const auto device = parts_.registry.find_by_key(one.device_key);
    if (!device || device->tenant != tenant.value()) continue;  // deleted this moment
    auto* entry = response.add_entries();
    entry->set_device(device->device);
    entry->set_value(one.value);
    entry->set_count(one.count);
  }
  return {};
}

}  // namespace millrace::query_api
