// What retention takes: QueryService.
#include <algorithm>
#include <array>

#include <millrace/base/ids.hpp>

#include "read/page_token.hpp"
#include "rpc/query_service.hpp"
#include "rpc/request_checks.hpp"

namespace millrace::query_api {
namespace {

namespace api = query::v1;

constexpr int kMostDays = 1'000;
constexpr std::int32_t kMostRetentionDays = 36'500;
constexpr TimeUs kDay = 86'400 * kUsPerSecond;

using Rules = std::vector<registry_view::RetentionRule>;

Status check(const api::PreviewRetentionRequest::Change& change) {
  if (!change.type().empty()) {
    if (auto valid = check_id("device type", change.type()); !valid.ok()) return valid;
  }
  if (!change.has_days() || (change.days() >= 0 && change.days() <= kMostRetentionDays)) return {};
  return Error{ErrorKind::kInvalid, "change.days must be 1 to " + std::to_string(kMostRetentionDays) +
                                        ", or 0 for ever; it is " + std::to_string(change.days())};
}

void apply(const api::PreviewRetentionRequest::Change& change, const std::string& tenant, Rules& rules) {
  std::erase_if(rules, [&](const auto& rule) { return rule.type == change.type(); });
  if (change.has_days()) rules.push_back({tenant, change.type(), change.days()});
  std::sort(rules.begin(), rules.end(), [](const auto& a, const auto& b) { return a.type < b.type; });
}

void put(const RetentionAmount& from, api::PreviewRetentionResponse::Amount& to) {
  to.set_series(from.series);
  to.set_points(from.points);
  to.set_bytes(from.bytes);
}

}  // namespace

grpc::ServerUnaryReactor* QueryService::PreviewRetention(grpc::CallbackServerContext* context,
                                                         const api::PreviewRetentionRequest* request,
                                                         api::PreviewRetentionResponse* response) {
  return parts_.dispatcher.unary(
      context, retention_, [=, this](const rpc::Call& call) { return preview_retention(call, *request, *response); });
}

Status QueryService::preview_retention(const rpc::Call& call, const api::PreviewRetentionRequest& request,
                                       api::PreviewRetentionResponse& response) {
  const auto tenant = rpc::tenant_of(call.caller, request.tenant());
  if (!tenant.ok()) return tenant.error();
  if (auto valid = check(request.change()); !valid.ok()) return valid;
  const auto days = page_size(request.page_size(), 100, kMostDays);
  if (!days.ok()) return days.error();
  const std::string scope = "retention\n" + *tenant + '\n' + request.change().SerializeAsString();
  std::int32_t after = 0;
  if (!request.page_token().empty()) {
    const auto position = read_page_token(scope, request.page_token());
    if (!position.ok()) return position.error();
    if (position->size() != 1) return Error{ErrorKind::kInvalid, "page_token is not one of PreviewRetention"};
    after = static_cast<std::int32_t>((*position)[0]);
  }
  // A copy of the registry that lacks a device would put it under its tenant's rule.
  if (!parts_.registry.ready()) return Error{ErrorKind::kUnavailable, "the registry has not been read yet; try again"};
  Rules rules = parts_.registry.retention_rules(*tenant);
  if (request.has_change()) apply(request.change(), *tenant, rules);
  const auto page =
      parts_.retention.preview(parts_.registry.retention_plan(std::move(rules)),
                               static_cast<std::int32_t>(now_us() / kDay), after, *days, patience_of(call));
  if (!page.ok()) return page.error();
  for (const RetentionLoss& loss : page->losses) {
    api::PreviewRetentionResponse::Day& day = *response.add_days();
    day.set_day_us(loss.day * kDay);
    day.set_type(loss.type);
    put(loss.hot, *day.mutable_hot());
    put(loss.compacted, *day.mutable_compacted());
    put(loss.archived, *day.mutable_archived());
  }
  if (page->next) {
    const std::array<std::int64_t, 1> position{*page->next};
    response.set_next_page_token(make_page_token(scope, position));
  }
  return {};
}

}  // namespace millrace::query_api
