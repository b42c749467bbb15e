// The ledger of QueryService.
#include <array>

#include <millrace/base/ids.hpp>

#include "read/page_token.hpp"
#include "rpc/query_service.hpp"
#include "rpc/request_checks.hpp"

namespace millrace::query_api {
namespace {

namespace api = query::v1;

constexpr int kMostHours = 10'000;
constexpr TimeUs kHour = 3'600 * kUsPerSecond;

void add(const HourFacts& facts, const HourAccount& account, api::GetLedgerResponse& response) {
  api::LedgerHour& out = *response.add_hours();
  out.set_partition(facts.partition);
  out.set_generation(facts.generation);
  out.set_hour_us(facts.hour);
  out.set_acknowledged(facts.acknowledged);
  if (account.in_log) out.set_in_log(*account.in_log);
  out.set_records(facts.records);
  out.set_copies(facts.copies);
  out.set_dead_records(facts.dead_records);
  out.set_points(facts.points);
  out.set_inserted(facts.inserted);
  out.set_replaced(facts.replaced);
  out.set_dead_points(facts.dead_points);
  out.set_pending(account.pending);
  out.set_missing(account.missing);
}

}  // namespace

grpc::ServerUnaryReactor* QueryService::GetLedger(grpc::CallbackServerContext* context,
                                                  const api::GetLedgerRequest* request,
                                                  api::GetLedgerResponse* response) {
  return parts_.dispatcher.unary(context, ledger_,
                                 [=, this](const rpc::Call& call) { return ledger(call, *request, *response); });
}

Status QueryService::ledger(const rpc::Call& call, const api::GetLedgerRequest& request,
                            api::GetLedgerResponse& response) {
  if (auto valid = check_times(request.from_us(), request.to_us()); !valid.ok()) return valid;
  return request.device().empty() ? ledger_hours(call, request, response) : ledger_device(call, request, response);
}

// A partition holds the messages of many tenants, so their sums are for the operator of the platform.
Status QueryService::ledger_hours(const rpc::Call& call, const api::GetLedgerRequest& request,
                                  api::GetLedgerResponse& response) {
  if (!call.caller.is_platform()) {
    return Error{ErrorKind::kForbidden,
                 "the hours of partitions are sums over all tenants and need a key of the platform; name a device"};
  }
  if (!request.tenant().empty()) {
    return Error{ErrorKind::kInvalid, "tenant goes with a device: the hours of partitions are of all tenants"};
  }
  const auto rows = page_size(request.page_size(), 1'000, kMostHours);
  if (!rows.ok()) return rows.error();
  const std::string scope = "ledger\n" + std::to_string(request.from_us()) + '\n' + std::to_string(request.to_us());
  LedgerPosition after{kFirstTime, -1, 0};
  if (!request.page_token().empty()) {
    const auto position = read_page_token(scope, request.page_token());
    if (!position.ok()) return position.error();
    if (position->size() != 3) return Error{ErrorKind::kInvalid, "page_token is not one of GetLedger"};
    after = {(*position)[0], static_cast<std::int32_t>((*position)[1]), static_cast<std::int32_t>((*position)[2])};
  }
  const TimeUs from = request.from_us() - ((request.from_us() % kHour) + kHour) % kHour;
  const auto page = parts_.ledger.hours(from, request.to_us(), after, *rows, call.deadline);
  if (!page.ok()) return page.error();
  for (const auto& [facts, account] : page->hours) add(facts, account, response);
  if (request.page_token().empty()) {
    const auto refused = parts_.ledger.refused(from, request.to_us(), call.deadline);
    if (!refused.ok()) return refused.error();
    for (const RefusedHour& hour : *refused) {
      api::LedgerRefused& out = *response.add_refused();
      out.set_hour_us(hour.hour);
      out.set_kept(hour.kept);
    }
  }
  if (page->next) {
    const std::array<std::int64_t, 3> position{page->next->hour, page->next->partition, page->next->generation};
    response.set_next_page_token(make_page_token(scope, position));
  }
  return {};
}

Status QueryService::ledger_device(const rpc::Call& call, const api::GetLedgerRequest& request,
                                   api::GetLedgerResponse& response) {
  const auto tenant = rpc::tenant_of(call.caller, request.tenant());
  if (!tenant.ok()) return tenant.error();
  const auto device = device_of(*tenant, request.device());
  if (!device.ok()) return device.error();
  const auto partition = parts_.progress.partition(*tenant, request.device());
  if (!partition) return Error{ErrorKind::kUnavailable, "the partitions of the log are not known yet; try again later"};
  const auto found = parts_.ledger.device(*partition, record_key(*tenant, request.device()), request.from_us(),
                                          request.to_us(), call.deadline);
  if (!found.ok()) return found.error();
  api::LedgerDevice& out = *response.mutable_device();
  out.set_partition(found->partition);
  out.set_in_log(found->in_log);
  out.set_pending(found->pending);
  out.set_copies(found->copies);
  out.set_dead_records(found->dead_records);
  out.set_stored(found->stored());
  out.set_points(found->points);
  out.set_dead_points(found->dead_points);
  out.set_log_begins_us(found->log_begins);
  out.set_continue_from_us(found->continue_from);
  return {};
}

}  // namespace millrace::query_api
