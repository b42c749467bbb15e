#include "rpc/query_service.hpp"

#include <array>

#include <millrace/base/ids.hpp>
#include <millrace/telemetry/value_proto.hpp>

#include "read/page_token.hpp"
#include "rpc/request_checks.hpp"

namespace millrace::query_api {
namespace {

namespace api = query::v1;

constexpr int kMostPerPage = 10'000;
constexpr int kMostLetters = 1'000;
constexpr int kMostNames = 1'000;
constexpr std::int64_t kLeastStep = 1'000;
constexpr std::int64_t kMostStep = 36'525LL * 86'400 * kUsPerSecond;

Status check_range(const api::RangeRequest& request) {
  if (auto valid = check_metric(request.metric()); !valid.ok()) return valid;
  if (request.step_us() > kMostStep) return Error{ErrorKind::kInvalid, "step_us is more than 100 years"};
  if (auto valid = check_times(request.from_us(), request.to_us()); !valid.ok()) return valid;
  if (request.step_us() != 0 && request.step_us() < kLeastStep) {
    return Error{ErrorKind::kInvalid,
                 "step_us " + std::to_string(request.step_us()) + " is neither 0 nor at least 1000"};
  }
  return {};
}

/// Everything of a Range request that must stay the same from page to page.
std::string scope_of(const std::string& tenant, std::int32_t device_key, const api::RangeRequest& request) {
  return "range\n" + tenant + '\n' + std::to_string(device_key) + '\n' + request.metric() + '\n' +
         std::to_string(request.from_us()) + '\n' + std::to_string(request.to_us()) + '\n' +
         std::to_string(request.step_us());
}

api::ReceiptState to_api(ReceiptState state) { return static_cast<api::ReceiptState>(state); }

}  // namespace

QueryService::QueryService(const QueryParts& parts)
    : parts_(parts),
      latest_(parts.dispatcher.method({.name = "Latest"})),
      range_(parts.dispatcher.method({.name = "Range"})),
      receipt_(parts.dispatcher.method({.name = "GetReceipt"})),
      dead_letters_(parts.dispatcher.method({.name = "ListDeadLetters"})),
      windows_(parts.dispatcher.method({.name = "ListWindows"})),
      alerts_(parts.dispatcher.method({.name = "ListAlerts"})),
      tail_(parts.dispatcher.method({.name = "Tail", .shape = rpc::CallShape::kStream})),
      limit_use_(parts.dispatcher.method({.name = "GetLimitUse"})) {}

Result<registry_view::Device> QueryService::device_of(const std::string& tenant, const std::string& device) const {
  if (const Status valid = check_id("device id", device); !valid.ok()) return valid.error();
  auto found = parts_.registry.find(tenant, device);
  if (!found) return Error{ErrorKind::kNotFound, "there is no device '" + device + "' in tenant " + tenant};
  return *std::move(found);
}

grpc::ServerUnaryReactor* QueryService::Latest(grpc::CallbackServerContext* context, const api::LatestRequest* request,
                                               api::LatestResponse* response) {
  return parts_.dispatcher.unary(context, latest_,
                                 [=, this](const rpc::Call& call) { return latest(call, *request, *response); });
}

Status QueryService::latest(const rpc::Call& call, const api::LatestRequest& request, api::LatestResponse& response) {
  const auto tenant = rpc::tenant_of(call.caller, request.tenant());
  if (!tenant.ok()) return tenant.error();
  if (request.metrics_size() > kMostNames) {
    return Error{ErrorKind::kInvalid, "more than " + std::to_string(kMostNames) + " metrics are named"};
  }
  const auto device = device_of(tenant.value(), request.device());
  if (!device.ok()) return device.error();
  // Before the values: what was flushed up to here is in what is read next.
  response.set_as_of_us(parts_.progress.as_of(tenant.value(), request.device()));
  const auto values =
      parts_.series.latest(device->device_key, {request.metrics().begin(), request.metrics().end()}, call.deadline);
  if (!values.ok()) return values.error();
  for (const LatestValue& value : values.value()) {
    auto* entry = response.add_entries();
    entry->set_metric(value.metric);
    entry->set_time_us(value.time);
    telemetry::to_proto(value.value, *entry->mutable_value());
  }
  return {};
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
  const auto rows = page_size(request.page_size(), 1'000, kMostPerPage);
  if (!rows.ok()) return rows.error();
  const auto device = device_of(tenant.value(), request.device());
  if (!device.ok()) return device.error();
  const std::string scope = scope_of(tenant.value(), device->device_key, request);
  Window window{request.from_us(), request.to_us(), rows.value()};
  if (!request.page_token().empty()) {
    const auto position = read_page_token(scope, request.page_token());
    if (!position.ok()) return position.error();
    if (position->size() != 1) return Error{ErrorKind::kInvalid, "page_token is not one of Range"};
    window.from = std::max(window.from, position->front());
  }
  const auto series = parts_.series.resolve(tenant.value(), device->device_key, request.metric(), call.deadline);
  if (!series.ok()) return series.error();
  std::optional<TimeUs> next;
  if (request.step_us() == 0) {
    const auto page = parts_.series.samples(series.value(), window, call.deadline);
    if (!page.ok()) return page.error();
    next = page->next_from;
    for (const Sample& sample : page->samples) {
      auto* out = response.add_samples();
      out->set_time_us(sample.time);
      out->set_untimed(sample.untimed);
      telemetry::to_proto(sample.value, *out->mutable_value());
    }
  } else {
    const auto page = parts_.series.buckets(series.value(), window, request.step_us(), call.deadline);
    if (!page.ok()) return page.error();
    next = page->next_from;
    for (const Bucket& bucket : page->buckets) {
      auto* out = response.add_buckets();
      out->set_time_us(bucket.time);
      out->set_count(bucket.count);
      out->set_min(bucket.min);
      out->set_max(bucket.max);
      out->set_mean(bucket.mean);
    }
  }
  if (next) response.set_next_page_token(make_page_token(scope, std::array{*next}));
  return {};
}

grpc::ServerUnaryReactor* QueryService::GetReceipt(grpc::CallbackServerContext* context,
                                                   const api::GetReceiptRequest* request,
                                                   api::GetReceiptResponse* response) {
  return parts_.dispatcher.unary(context, receipt_,
                                 [=, this](const rpc::Call& call) { return receipt(call, *request, *response); });
}

Status QueryService::receipt(const rpc::Call& call, const api::GetReceiptRequest& request,
                             api::GetReceiptResponse& response) {
  const auto tenant = rpc::tenant_of(call.caller, request.tenant());
  if (!tenant.ok()) return tenant.error();
  const auto receipt = telemetry::parse_receipt(request.receipt());
  if (!receipt.ok()) return receipt.error();
  const auto answer = parts_.receipts.find(receipt.value(), tenant.value(), call.deadline);
  if (!answer.ok()) return answer.error();
  response.set_receipt(receipt->to_string());
  response.set_state(to_api(answer->state));
  response.set_reason(answer->reason);
  response.set_original(answer->original);
  return {};
}

grpc::ServerUnaryReactor* QueryService::ListDeadLetters(grpc::CallbackServerContext* context,
                                                        const api::ListDeadLettersRequest* request,
                                                        api::ListDeadLettersResponse* response) {
  return parts_.dispatcher.unary(context, dead_letters_,
                                 [=, this](const rpc::Call& call) { return dead_letters(call, *request, *response); });
}

namespace {

void add(DeadLetter& letter, api::ListDeadLettersResponse& response) {
  auto* out = response.add_dead_letters();
  out->set_receipt(letter.receipt.to_string());
  out->set_source(std::move(letter.source));
  out->set_device(std::move(letter.device));
  out->set_reason(std::move(letter.reason));
  out->set_time_us(letter.time);
  out->set_payload(std::move(letter.payload));
  out->set_payload_bytes(letter.payload_bytes);
  for (const std::int32_t point : letter.points) out->add_points(point);
}

}  // namespace

Status QueryService::dead_letters(const rpc::Call& call, const api::ListDeadLettersRequest& request,
                                  api::ListDeadLettersResponse& response) {
  const auto tenant = rpc::tenant_of(call.caller, request.tenant());
  if (!tenant.ok()) return tenant.error();
  if (!request.receipt().empty()) {
    const auto receipt = telemetry::parse_receipt(request.receipt());
    if (!receipt.ok()) return receipt.error();
    if (!receipt->dead)
      return Error{ErrorKind::kInvalid, "a dead letter's receipt has the form dead:<partition>:<offset>"};
    auto letter = parts_.dead_letters.find(receipt.value(), tenant.value(), call.deadline);
    if (!letter.ok()) return letter.error();
    if (letter.value()) add(**letter, response);
    return {};
  }
  const auto size = page_size(request.page_size(), 100, kMostLetters);
  if (!size.ok()) return size.error();
  const std::string scope = "dead\n" + tenant.value();
  std::vector<std::int64_t> start;
  if (!request.page_token().empty()) {
    auto position = read_page_token(scope, request.page_token());
    if (!position.ok()) return position.error();
    start = std::move(position).value();
  }
  auto page =
      parts_.dead_letters.list(tenant.value(), static_cast<std::size_t>(size.value()), std::move(start), call.deadline);
  if (!page.ok()) return page.error();
  for (DeadLetter& letter : page->letters) add(letter, response);
  if (!page->next.empty()) response.set_next_page_token(make_page_token(scope, page->next));
  return {};
}

grpc::ServerWriteReactor<api::TailResponse>* QueryService::Tail(grpc::CallbackServerContext* context,
                                                                const api::TailRequest* request) {
  auto scope = parts_.dispatcher.open(context, tail_);
  // The verifier answers from memory, so it may be asked on gRPC's thread.
  const Status allowed = parts_.dispatcher.authenticate(*scope);
  auto filter = allowed.ok() ? tail_filter(scope->call().caller, *request) : Result<TailFilter>(allowed.error());
  auto* reactor = new TailReactor(parts_.tails, parts_.tail_calls, parts_.dispatcher, std::move(scope));
  reactor->begin(std::move(filter));
  return reactor;
}

Result<TailFilter> QueryService::tail_filter(const rpc::Caller& caller, const api::TailRequest& request) const {
  const auto tenant = rpc::tenant_of(caller, request.tenant());
  if (!tenant.ok()) return tenant.error();
  if (request.devices_size() > kMostNames || request.metrics_size() > kMostNames) {
    return Error{ErrorKind::kInvalid, "more than " + std::to_string(kMostNames) + " devices or metrics are named"};
  }
  for (const std::string& device : request.devices()) {
    if (const auto known = device_of(tenant.value(), device); !known.ok()) return known.error();
  }
  return TailFilter{.tenant = tenant.value(),
                    .devices = {request.devices().begin(), request.devices().end()},
                    .metrics = {request.metrics().begin(), request.metrics().end()}};
}

}  // namespace millrace::query_api
