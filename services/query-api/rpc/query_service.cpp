#include "rpc/query_service.hpp"

#include <limits>
#include <set>

#include <millrace/base/ids.hpp>
#include <millrace/telemetry/value_proto.hpp>

#include "read/page_token.hpp"
#include "rpc/request_checks.hpp"

namespace millrace::query_api {
namespace {

namespace api = query::v1;

constexpr int kMostLetters = 1'000;

api::ReceiptState to_api(ReceiptState state) { return static_cast<api::ReceiptState>(state); }

}  // namespace

QueryService::QueryService(const QueryParts& parts)
    : parts_(parts),
      latest_(parts.dispatcher.method({.name = "Latest"})),
      range_(parts.dispatcher.method({.name = "Range"})),
      aggregate_(parts.dispatcher.method({.name = "Aggregate"})),
      top_(parts.dispatcher.method({.name = "TopN"})),
      receipt_(parts.dispatcher.method({.name = "GetReceipt"})),
      dead_letters_(parts.dispatcher.method({.name = "ListDeadLetters"})),
      windows_(parts.dispatcher.method({.name = "ListWindows"})),
      alerts_(parts.dispatcher.method({.name = "ListAlerts"})),
      presence_(parts.dispatcher.method({.name = "ListPresence"})),
      tail_(parts.dispatcher.method({.name = "Tail", .shape = rpc::CallShape::kStream})),
      export_(parts.dispatcher.method({.name = "Export", .shape = rpc::CallShape::kStream})),
      limit_use_(parts.dispatcher.method({.name = "GetLimitUse"})),
      ledger_(parts.dispatcher.method({.name = "GetLedger"})),
      retention_(parts.dispatcher.method({.name = "PreviewRetention"})) {}

Result<registry_view::Device> QueryService::device_of(const std::string& tenant, const std::string& device) const {
  if (const Status valid = check_id("device id", device); !valid.ok()) return valid.error();
  auto found = parts_.registry.find(tenant, device);
  if (!found) return Error{ErrorKind::kNotFound, "there is no device '" + device + "' in tenant " + tenant};
  return *std::move(found);
}

Result<std::vector<std::int32_t>> QueryService::keys_of(const std::string& tenant, const Names& devices) const {
  if (devices.empty()) return parts_.registry.device_keys(tenant, 0, std::numeric_limits<std::size_t>::max());
  if (auto valid = check_names("devices", devices); !valid.ok()) return valid.error();
  std::set<std::int32_t> keys;
  for (const std::string& name : devices) {
    const auto device = device_of(tenant, name);
    if (!device.ok()) return device.error();
    keys.insert(device->device_key);
  }
  return std::vector<std::int32_t>{keys.begin(), keys.end()};
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
  auto* reactor = new TailReactor(parts_.tails, parts_.streams, parts_.dispatcher, std::move(scope));
  reactor->begin(std::move(filter));
  return reactor;
}

Result<TailFilter> QueryService::tail_filter(const rpc::Caller& caller, const api::TailRequest& request) const {
  const auto tenant = rpc::tenant_of(caller, request.tenant());
  if (!tenant.ok()) return tenant.error();
  if (auto valid = check_names("devices", request.devices()); !valid.ok()) return valid.error();
  if (auto valid = check_names("metrics", request.metrics()); !valid.ok()) return valid.error();
  for (const std::string& device : request.devices()) {
    if (const auto known = device_of(tenant.value(), device); !known.ok()) return known.error();
  }
  return TailFilter{.tenant = tenant.value(),
                    .devices = {request.devices().begin(), request.devices().end()},
                    .metrics = {request.metrics().begin(), request.metrics().end()}};
}

}  // namespace millrace::query_api
