// Latest and Range of QueryService.
#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include <millrace/telemetry/value_proto.hpp>

#include "read/page_token.hpp"
#include "rpc/query_service.hpp"
#include "rpc/request_checks.hpp"

namespace millrace::query_api {
namespace {

namespace api = query::v1;

constexpr int kMostPerPage = 10'000;
constexpr int kMostPoints = 10'000;
constexpr int kLeastLttbPoints = 3;
/// Devices whose values are asked for at once when a whole tenant is read, and how often in one page: many devices may
/// have none.
constexpr std::size_t kDevicesAtOnce = 1'000;
constexpr int kMostLooks = 100;
/// A page with more than this is not filled any further: one look gives SeriesReader::kPageBytes at most.
constexpr std::size_t kEnoughOfAPage = 500'000;

Status check_points(const api::RangeRequest& request) {
  if (!api::Downsampling_IsValid(request.downsampling())) {
    return Error{ErrorKind::kInvalid, "downsampling " + std::to_string(request.downsampling()) + " is none"};
  }
  if (request.points() == 0) {
    if (request.downsampling() == api::DOWNSAMPLING_UNSPECIFIED) return {};
    return Error{ErrorKind::kInvalid, "downsampling goes with points, which is 0"};
  }
  const int least = request.downsampling() == api::DOWNSAMPLING_LTTB ? kLeastLttbPoints : 1;
  if (request.points() < least || request.points() > kMostPoints) {
    return Error{ErrorKind::kInvalid, "points " + std::to_string(request.points()) + " is not between " +
                                          std::to_string(least) + " and " + std::to_string(kMostPoints)};
  }
  if (request.step_us() != 0 || request.page_size() != 0 || !request.page_token().empty()) {
    return Error{ErrorKind::kInvalid, "with points neither step_us nor page_size nor page_token may be set"};
  }
  return {};
}

Status check_range(const api::RangeRequest& request) {
  if (auto valid = check_metric(request.metric()); !valid.ok()) return valid;
  if (auto valid = check_times(request.from_us(), request.to_us()); !valid.ok()) return valid;
  if (request.step_us() != 0) {
    if (auto valid = check_step(request.step_us()); !valid.ok()) return valid;
  }
  return check_points(request);
}

/// Everything of a Range request that must stay the same from page to page.
std::string scope_of(const std::string& tenant, std::int32_t device_key, const api::RangeRequest& request) {
  return "range\n" + tenant + '\n' + std::to_string(device_key) + '\n' + request.metric() + '\n' +
         std::to_string(request.from_us()) + '\n' + std::to_string(request.to_us()) + '\n' +
         std::to_string(request.step_us());
}

std::string scope_of(const std::string& tenant, const api::LatestRequest& request) {
  std::string scope = "latest\n" + tenant;
  for (const std::string& device : request.devices()) scope += "\nd " + device;
  for (const std::string& metric : request.metrics()) scope += "\nm " + metric;
  return scope;
}

void add(const Sample& sample, api::RangeResponse& response) {
  auto* out = response.add_samples();
  out->set_time_us(sample.time);
  out->set_untimed(sample.untimed);
  telemetry::to_proto(sample.value, *out->mutable_value());
}

void add(const Bucket& bucket, api::RangeResponse& response) {
  auto* out = response.add_buckets();
  out->set_time_us(bucket.time);
  out->set_count(bucket.count);
  out->set_min(bucket.min);
  out->set_max(bucket.max);
  out->set_mean(bucket.mean);
  out->set_first(bucket.first);
  out->set_last(bucket.last);
  out->set_first_time_us(bucket.first_time);
  out->set_last_time_us(bucket.last_time);
}

}  // namespace

grpc::ServerUnaryReactor* QueryService::Latest(grpc::CallbackServerContext* context, const api::LatestRequest* request,
                                               api::LatestResponse* response) {
  return parts_.dispatcher.unary(context, latest_,
                                 [=, this](const rpc::Call& call) { return latest(call, *request, *response); });
}

Status QueryService::latest(const rpc::Call& call, const api::LatestRequest& request, api::LatestResponse& response) {
  const auto tenant = rpc::tenant_of(call.caller, request.tenant());
  if (!tenant.ok()) return tenant.error();
  if (auto valid = check_names("metrics", request.metrics()); !valid.ok()) return valid;
  if (request.device().empty()) return latest_of_many(call, tenant.value(), request, response);
  if (!request.devices().empty() || request.page_size() != 0 || !request.page_token().empty()) {
    return Error{ErrorKind::kInvalid, "with device neither devices nor page_size nor page_token may be set"};
  }
  return latest_of_device(call, tenant.value(), request, response);
}

Status QueryService::latest_of_device(const rpc::Call& call, const std::string& tenant,
                                      const api::LatestRequest& request, api::LatestResponse& response) {
  const auto device = device_of(tenant, request.device());
  if (!device.ok()) return device.error();
  // Before the values: what was flushed up to here is in what is read next.
  response.set_as_of_us(parts_.progress.as_of(tenant, request.device()));
  const auto values =
      parts_.series.latest(device->device_key, {request.metrics().begin(), request.metrics().end()}, patience_of(call));
  if (!values.ok()) return values.error();
  for (const LatestValue& value : values.value()) {
    auto* entry = response.add_entries();
    entry->set_device(request.device());
    entry->set_metric(value.metric);
    entry->set_time_us(value.time);
    telemetry::to_proto(value.value, *entry->mutable_value());
  }
  return {};
}

Status QueryService::latest_of_many(const rpc::Call& call, const std::string& tenant, const api::LatestRequest& request,
                                    api::LatestResponse& response) {
  const auto rows = page_size(request.page_size(), 1'000, kMostPerPage);
  if (!rows.ok()) return rows.error();
  const std::string scope = scope_of(tenant, request);
  LatestPosition after;
  if (!request.page_token().empty()) {
    const auto position = read_page_token(scope, request.page_token());
    if (!position.ok()) return position.error();
    if (position->size() != 2) return Error{ErrorKind::kInvalid, "page_token is not one of Latest"};
    after = {static_cast<std::int32_t>((*position)[0]), static_cast<std::int32_t>((*position)[1])};
  }
  std::vector<std::int32_t> named;
  if (!request.devices().empty()) {
    auto keys = keys_of(tenant, request.devices());
    if (!keys.ok()) return keys.error();
    named = std::move(keys).value();
  }
  response.set_as_of_us(parts_.progress.as_of_all());
  const std::vector<std::string> metrics{request.metrics().begin(), request.metrics().end()};
  for (int look = 0; look < kMostLooks && response.entries_size() < rows.value(); ++look) {
    // The device of the position may have more metrics.
    const std::vector<std::int32_t> keys =
        named.empty() ? parts_.registry.device_keys(tenant, after.device_key - 1, kDevicesAtOnce) : named;
    const auto page =
        parts_.groups.latest(keys, metrics, after, rows.value() - response.entries_size(), patience_of(call));
    if (!page.ok()) return page.error();
    for (const DeviceValue& value : page->values) add_latest(tenant, value, response);
    const bool all_devices = !request.devices().empty() || keys.size() < kDevicesAtOnce;
    if (!page->next && all_devices) return {};
    after = page->next ? *page->next : LatestPosition{keys.back(), std::numeric_limits<std::int32_t>::max()};
    if (page->next || response.ByteSizeLong() > kEnoughOfAPage) break;
  }
  response.set_next_page_token(make_page_token(scope, std::array<std::int64_t, 2>{after.device_key, after.metric_id}));
  return {};
}

void QueryService::add_latest(const std::string& tenant, const DeviceValue& value,
                              api::LatestResponse& response) const {
  const auto device = parts_.registry.find_by_key(value.device_key);
  // It may have been deleted this moment.
  if (!device || device->tenant != tenant) return;
  auto* entry = response.add_entries();
  entry->set_device(device->device);
  entry->set_metric(value.metric);
  entry->set_time_us(value.time);
  telemetry::to_proto(value.value, *entry->mutable_value());
}

grpc::ServerUnaryReactor* QueryService::Range(grpc::CallbackServerContext* context, const api::RangeRequest* request,
                                              api::RangeResponse* response) {
  return parts_.dispatcher.unary(context, range_,
                                 [=, this](const rpc::Call& call) { return range(call, *request, *response); });
}

Status QueryService::range(const rpc::Call& call, const api::RangeRequest& request, api::RangeResponse& response) {
  const auto tenant = rpc::tenant_of(call.caller, request.tenant());
  if (!tenant.ok()) return tenant.error();
  if (const Status valid = check_range(request); !valid.ok()) return valid;
  const auto device = device_of(tenant.value(), request.device());
  if (!device.ok()) return device.error();
  const auto series = parts_.series.resolve(tenant.value(), device->device_key, request.metric(), patience_of(call));
  if (!series.ok()) return series.error();
  if (request.points() != 0) return range_in_points(call, series.value(), request, response);
  return range_page(call, tenant.value(), series.value(), request, response);
}

Status QueryService::range_page(const rpc::Call& call, const std::string& tenant, const Series& series,
                                const api::RangeRequest& request, api::RangeResponse& response) {
  const auto rows = page_size(request.page_size(), 1'000, kMostPerPage);
  if (!rows.ok()) return rows.error();
  const std::string scope = scope_of(tenant, series.device_key, request);
  Window window{request.from_us(), request.to_us(), rows.value()};
  if (!request.page_token().empty()) {
    const auto position = read_page_token(scope, request.page_token());
    if (!position.ok()) return position.error();
    if (position->empty() || position->size() > 2) {
      return Error{ErrorKind::kInvalid, "page_token is not one of Range"};
    }
    window.from = std::max(window.from, position->front());
    if (position->size() == 2) window.since = std::clamp(position->back(), request.from_us(), window.from);
  }
  std::vector<std::int64_t> next;
  if (request.step_us() == 0) {
    const auto page = parts_.tiers.samples(series, window, patience_of(call));
    if (!page.ok()) return page.error();
    if (page->next_from) next.push_back(*page->next_from);
    if (page->since) next.push_back(*page->since);
    for (const Sample& sample : page->samples) add(sample, response);
  } else {
    const auto page = parts_.downsampler.page(series, window, request.step_us(), patience_of(call));
    if (!page.ok()) return page.error();
    if (page->next_from) next.push_back(*page->next_from);
    for (const Bucket& bucket : page->buckets) add(bucket, response);
  }
  if (!next.empty()) response.set_next_page_token(make_page_token(scope, next));
  return {};
}

Status QueryService::range_in_points(const rpc::Call& call, const Series& series, const api::RangeRequest& request,
                                     api::RangeResponse& response) {
  if (request.downsampling() == api::DOWNSAMPLING_LTTB) {
    const auto samples =
        parts_.downsampler.lttb(series, request.from_us(), request.to_us(), request.points(), patience_of(call));
    if (!samples.ok()) return samples.error();
    for (const Sample& sample : samples.value()) add(sample, response);
    return {};
  }
  const std::int64_t length = request.to_us() - request.from_us();
  const std::int64_t step = (length + request.points() - 1) / request.points();
  const auto buckets = parts_.downsampler.buckets(series, request.from_us(), request.to_us(), step, patience_of(call));
  if (!buckets.ok()) return buckets.error();
  response.set_step_us(step);
  for (const Bucket& bucket : buckets.value()) add(bucket, response);
  return {};
}

}  // namespace millrace::query_api
