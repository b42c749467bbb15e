#include "tiers/retention_keeper.hpp"

#include <algorithm>
#include <set>
#include <thread>
#include <utility>

#include <millrace/storage_schema/statements.hpp>

namespace millrace::writer {
namespace {

using postgres::Params;
using registry_view::RetentionPlan;
using std::chrono::steady_clock;

constexpr TimeUs kDay = 86'400 * kUsPerSecond;
constexpr std::chrono::milliseconds kLockPause{50};

// $1 is a day since the epoch, $2 to $5 say whose points go.
constexpr const char* kDate = "date '1970-01-01' + $1::int4";
constexpr const char* kWhose = ", $2::text[], $3::int4[], $4::int4[], $5::int4[]";

std::string from(const char* columns, const char* function, const std::string& more = "") {
  return std::string("SELECT ") + columns + " FROM storage." + function + "(" + kDate + more + ")";
}

Params whose(std::int32_t day, const registry_view::RetentionOfDay& of_day) {
  Params params;
  params.integer(day).text_array(of_day.tenants).int4_array(of_day.tenant_rules);
  params.int4_array(of_day.devices).int4_array(of_day.device_rules);
  return params;
}

bool can_lose(const registry_view::RetentionOfDay& of_day) {
  if (!of_day.tenants.empty()) return true;
  for (const std::int32_t rule : of_day.device_rules) {
    if (rule > 0) return true;
  }
  return false;
}

}  // namespace

RetentionKeeper::RetentionKeeper(postgres::Connection& connection, RetentionLimits limits,
                                 std::function<bool()> stopped, KeeperSession::OnStep on_step)
    : session_(connection, std::move(on_step)), limits_(limits), stopped_(std::move(stopped)) {}

Result<RetentionWork> RetentionKeeper::pass(const RetentionPlan& plan, TimeUs now) {
  auto mine = session_.take();
  if (!mine) return mine.error();
  if (!*mine) {
    RetentionWork none;
    none.elsewhere = true;
    return none;
  }
  auto work = keep(plan, static_cast<std::int32_t>(now / kDay));
  session_.give_back();
  return work;
}

Result<RetentionWork> RetentionKeeper::keep(const RetentionPlan& plan, std::int32_t today) {
  RetentionWork work;
  auto days = changed_days(plan, today);
  if (!days) return days.error();
  for (const Day& day : *days) {
    if (stopped_()) return work;
    const auto outcome = clear(plan, day, today, work);
    Status done = outcome ? Status{} : Status{outcome.error()};
    if (done && *outcome == Outcome::kClear) done = mark(day);
    if (!session_.connection().usable()) return done.error();
    if (outcome && *outcome == Outcome::kWaiting) ++work.days_waiting;
    note(done, work);
  }
  if (const Status done = rebuild(work); !done) {
    if (!session_.connection().usable()) return done.error();
    note(done, work);
  }
  return work;
}

void RetentionKeeper::note(const Status& done, RetentionWork& work) {
  if (done.ok() || stopped_()) return;
  if (session_.was_lock_timeout()) {
    ++work.days_waiting;
    return;
  }
  ++work.days_failed;
  work.failure = done.error().message;
}

// Devices that are new have nothing in days that were looked at before; any other change makes all days be looked at
// again.
Result<std::int64_t> RetentionKeeper::epoch(const RetentionPlan& plan) {
  auto before = session_.connection().exec("SELECT last_key, digest, epoch FROM storage.retention_devices");
  if (!before) return before.error();
  std::int64_t epoch = 0;
  if (!before->empty()) {
    const auto last_key = static_cast<std::int32_t>(before->integer(0, 0));
    const bool same = std::to_string(plan.digest_of_devices(last_key)) == before->text(0, 1);
    epoch = before->integer(0, 2) + (same ? 0 : 1);
    if (same && last_key == plan.highest_key) return epoch;
  }
  auto saved = session_.connection().exec(
      "INSERT INTO storage.retention_devices (last_key, digest, epoch) VALUES ($1::int4, $2, $3::int8)"
      " ON CONFLICT (one) DO UPDATE SET last_key = excluded.last_key, digest = excluded.digest, epoch = excluded.epoch",
      Params{}.integer(plan.highest_key).text(std::to_string(plan.digest_of_devices(plan.highest_key))).integer(epoch));
  if (!saved) return saved.error();
  return epoch;
}

Result<std::vector<RetentionKeeper::Day>> RetentionKeeper::changed_days(const RetentionPlan& plan, std::int32_t today) {
  std::vector<Day> days;
  const std::int32_t before = plan.first_kept_day(today);
  // What an admin wants kept after all, before the archiver came to it.
  auto kept =
      session_.connection().exec("DELETE FROM storage.archive_expired WHERE day >= date '1970-01-01' + $1::int4",
                                 Params{}.integer(std::max(before, 0)));
  if (!kept) return kept.error();
  if (before <= 0) return days;
  const auto of_devices = epoch(plan);
  if (!of_devices) return of_devices.error();
  auto rows = session_.connection().exec(storage_schema::sql::kRetentionDays, Params{}.integer(before));
  if (!rows) return rows.error();
  for (int i = 0; i < rows->size(); ++i) {
    Day day;
    day.day = static_cast<std::int32_t>(rows->integer(i, 0));
    day.rules = std::to_string(plan.digest_of_rules(day.day, today)) + "/" + std::to_string(*of_devices);
    day.sees = rows->text(i, 3);
    const bool same = !rows->is_null(i, 1) && rows->text(i, 1) == day.rules && rows->text(i, 2) == day.sees;
    if (!same) days.push_back(std::move(day));
  }
  return days;
}

Result<RetentionKeeper::Outcome> RetentionKeeper::clear(const RetentionPlan& plan, const Day& day, std::int32_t today,
                                                        RetentionWork& work) {
  const registry_view::RetentionOfDay of_day = plan.on(day.day, today);
  const Params what = whose(day.day, of_day);
  // Also where nothing goes: what was told to the archiver may hold no more.
  auto archived = session_.step("retention-archive", from("rule, points, bytes", "expire_archived", kWhose), what);
  if (!archived) return archived.error();
  note_removed(plan, day.day, *archived, 1, work);
  if (!can_lose(of_day)) return Outcome::kClear;
  auto look = session_.step("retention-look", storage_schema::sql::kRetentionLook, what);
  if (!look) return look.error();
  if (!look->boolean(0, 0)) return Outcome::kClear;
  const bool stays = look->boolean(0, 1);
  auto figures = session_.step("retention-figures", storage_schema::sql::kRetentionFigures, what);
  if (!figures) return figures.error();
  auto outcome = stays ? Result<Outcome>(Outcome::kStays) : drop(what, work);
  if (outcome && *outcome == Outcome::kStays) outcome = remove(what);
  if (outcome && *outcome == Outcome::kClear) note_removed(plan, day.day, *figures, 3, work);
  return outcome;
}

// Rows of figures: the rule first; points and bytes from `column` on.
void RetentionKeeper::note_removed(const RetentionPlan& plan, std::int32_t day, const postgres::Rows& figures,
                                   int column, RetentionWork& work) {
  for (int i = 0; i < figures.size(); ++i) {
    const auto& rule = plan.rules[static_cast<std::size_t>(figures.integer(i, 0) - 1)];
    work.removed.push_back({rule.tenant, rule.type, day, figures.integer(i, column), figures.integer(i, column + 1)});
  }
}

Result<RetentionKeeper::Outcome> RetentionKeeper::drop(const Params& what, RetentionWork& work) {
  const auto until = steady_clock::now() + limits_.patience;
  while (!stopped_()) {
    auto dropped =
        session_.step("retention-drop", "SELECT storage.retention_drop(" + (kDate + std::string(kWhose)) + ")", what);
    if (!dropped && !session_.was_lock_timeout()) return dropped.error();
    if (dropped && dropped->integer(0, 0) == 0) return Outcome::kStays;
    if (dropped && dropped->integer(0, 0) < 0) return Outcome::kWaiting;
    if (dropped) {
      ++work.days_emptied;
      return Outcome::kClear;
    }
    if (steady_clock::now() >= until) break;
    std::this_thread::sleep_for(kLockPause);
  }
  return Outcome::kWaiting;
}

Result<RetentionKeeper::Outcome> RetentionKeeper::remove(const Params& what) {
  Params params = what;
  params.integer(limits_.most_at_once);
  std::set<std::string> thinned;
  while (!stopped_()) {
    auto gone = session_.step("retention-delete",
                              from("what, gone", "retention_delete", kWhose + std::string(", $6::int8")), params);
    if (!gone) return gone.error();
    if (gone->is_null(0, 0)) return Outcome::kWaiting;
    if (gone->integer(0, 1) == 0) {
      // Pages at the end of a table that are empty now go back to the disk; others take new rows.
      for (const std::string& table : thinned) {
        auto vacuumed = session_.step("retention-vacuum", "VACUUM storage." + postgres::quote_identifier(table), {});
        if (!vacuumed) return vacuumed.error();
      }
      return Outcome::kClear;
    }
    if (!gone->text(0, 0).starts_with("segment_")) thinned.emplace(gone->text(0, 0));
  }
  return Outcome::kWaiting;
}

Status RetentionKeeper::mark(const Day& day) {
  auto marked =
      session_.step("retention-mark",
                    std::string("INSERT INTO storage.retention_day VALUES (") + kDate +
                        ", $2, $3) ON CONFLICT (day) DO UPDATE SET rules = excluded.rules, seen = excluded.seen",
                    Params{}.integer(day.day).text(day.rules).text(day.sees));
  return marked ? Status{} : Status{marked.error()};
}

Status RetentionKeeper::rebuild(RetentionWork& work) {
  auto stale = session_.step("rebuild-sweep", "SELECT storage.drop_stale_copies()", {});
  if (!stale) return stale.error();
  auto due = session_.connection().exec(
      "SELECT day - date '1970-01-01' FROM storage.day WHERE state = 3 AND (rebuilt_by IS NOT NULL OR expired_bytes > "
      "$1::float8 * bytes_after) ORDER BY day",
      Params{}.float8(limits_.dead_share));
  if (!due) return due.error();
  for (int i = 0; i < due->size() && !stopped_(); ++i) {
    const Status done = rebuild_day(static_cast<std::int32_t>(due->integer(i, 0)), work);
    if (!session_.connection().usable()) return done;
    note(done, work);
  }
  return {};
}

Status RetentionKeeper::rebuild_day(std::int32_t day, RetentionWork& work) {
  auto copied =
      session_.step("rebuild", std::string("SELECT storage.rebuild_day(") + kDate + ")", Params{}.integer(day));
  if (!copied) return copied.error();
  if (!copied->boolean(0, 0)) {
    ++work.days_waiting;
    return {};
  }
  return swap(day, work);
}

Status RetentionKeeper::swap(std::int32_t day, RetentionWork& work) {
  const auto until = steady_clock::now() + limits_.patience;
  while (!stopped_()) {
    auto swapped =
        session_.step("rebuild-swap", std::string("SELECT storage.swap_rebuilt(") + kDate + ")", Params{}.integer(day));
    if (!swapped && !session_.was_lock_timeout()) return swapped.error();
    if (swapped && swapped->integer(0, 0) >= 0) {
      work.locked_seconds.push_back(static_cast<double>(swapped->integer(0, 0)) / kUsPerSecond);
      ++work.days_rebuilt;
      return {};
    }
    // The day has changed, or somebody is at work on it for long: the next pass copies it again.
    if ((swapped && swapped->integer(0, 0) == -2) || steady_clock::now() >= until) break;
    std::this_thread::sleep_for(kLockPause);
  }
  ++work.days_waiting;
  return {};
}

}  // namespace millrace::writer
