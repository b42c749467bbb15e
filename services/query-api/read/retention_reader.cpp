#include "read/retention_reader.hpp"

#include <map>

#include <millrace/storage_schema/statements.hpp>

namespace millrace::query_api {
namespace {

using postgres::Params;
using registry_view::RetentionPlan;

constexpr std::int64_t kCompactedTier = 2;

Params whose(std::int32_t day, const registry_view::RetentionOfDay& of_day) {
  Params params;
  params.integer(day).text_array(of_day.tenants).int4_array(of_day.tenant_rules);
  params.int4_array(of_day.devices).int4_array(of_day.device_rules);
  return params;
}

/// Of one day, in the order of the rules.
Result<std::map<std::int64_t, RetentionLoss>> losses_of(postgres::Connection& connection, const RetentionPlan& plan,
                                                        std::int32_t day, std::int32_t today) {
  std::map<std::int64_t, RetentionLoss> losses;
  const auto loss_by = [&](std::int64_t rule) -> RetentionLoss& {
    RetentionLoss& loss = losses[rule];
    loss.day = day;
    loss.type = plan.rules[static_cast<std::size_t>(rule - 1)].type;
    return loss;
  };
  const Params what = whose(day, plan.on(day, today));
  const auto archived = connection.exec(storage_schema::sql::kArchivedFigures, what);
  if (!archived.ok()) return archived.error();
  for (int i = 0; i < archived->size(); ++i) {
    loss_by(archived->integer(i, 0)).archived = {archived->integer(i, 1), archived->integer(i, 2),
                                                 archived->integer(i, 3)};
  }
  const auto look = connection.exec(storage_schema::sql::kRetentionLook, what);
  if (!look.ok()) return look.error();
  if (!look->boolean(0, 0)) return losses;
  const auto figures = connection.exec(storage_schema::sql::kRetentionFigures, what);
  if (!figures.ok()) return figures.error();
  for (int i = 0; i < figures->size(); ++i) {
    RetentionLoss& loss = loss_by(figures->integer(i, 0));
    (figures->integer(i, 1) == kCompactedTier ? loss.compacted : loss.hot) = {
        figures->integer(i, 2), figures->integer(i, 3), figures->integer(i, 4)};
  }
  return losses;
}

}  // namespace

Result<RetentionPage> RetentionReader::preview(const RetentionPlan& plan, std::int32_t today, std::int32_t after,
                                               int days, const Patience& patience) {
  RetentionPage page;
  const std::int32_t before = plan.first_kept_day(today);
  if (before <= 0) return page;
  const auto begun = postgres::Clock::now();
  auto connection = patience.acquire(pool_);
  if (!connection.ok()) return connection.error();
  const auto all = (*connection)->exec(storage_schema::sql::kRetentionDays, Params{}.integer(before));
  if (!all.ok()) return all.error();
  int lost = 0;
  for (int i = 0; i < all->size(); ++i) {
    const auto day = static_cast<std::int32_t>(all->integer(i, 0));
    if (day <= after) continue;
    const auto losses = losses_of(**connection, plan, day, today);
    if (!losses.ok()) return losses.error();
    for (const auto& [rule, loss] : *losses) page.losses.push_back(loss);
    lost += losses->empty() ? 0 : 1;
    const auto now = postgres::Clock::now();
    if (i + 1 < all->size() && (lost >= days || now - begun > patience.deadline - now)) {
      page.next = day;
      break;
    }
  }
  return page;
}

}  // namespace millrace::query_api
