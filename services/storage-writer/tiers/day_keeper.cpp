#include "tiers/day_keeper.hpp"

#include <thread>
#include <utility>

namespace millrace::writer {
namespace {

using postgres::Params;
using std::chrono::steady_clock;

constexpr TimeUs kDay = 86'400 * kUsPerSecond;
constexpr std::chrono::milliseconds kSwapPause{50};
constexpr std::int64_t kBuilt = 2;
constexpr std::int64_t kCompacted = 3;

// $1 of all steps is a day since the epoch.
constexpr const char* kDate = "(date '1970-01-01' + $1::int4)";

std::string call(const char* function, const char* more = "") {
  return std::string("SELECT storage.") + function + "(" + kDate + more + ")";
}

}  // namespace

DayKeeper::DayKeeper(postgres::Connection& connection, DayLimits limits, std::function<bool()> stopped, OnStep on_step)
    : connection_(connection),
      session_(connection, std::move(on_step)),
      limits_(limits),
      stopped_(std::move(stopped)) {}

Result<DayWork> DayKeeper::pass(TimeUs now) {
  auto mine = session_.take();
  if (!mine) return mine.error();
  if (!*mine) {
    DayWork none;
    none.elsewhere = true;
    return none;
  }
  auto work = keep(now);
  session_.give_back();
  return work;
}

Result<DayWork> DayKeeper::keep(TimeUs now) {
  DayWork work;
  auto days = unfinished();
  if (!days) return days.error();
  auto hot = closable(now);
  if (!hot) return hot.error();
  for (const std::int32_t day : *hot) days->push_back({day, 0});
  for (const Day& day : *days) {
    if (stopped_()) break;
    const Status done = finish(day, work);
    if (!connection_.usable()) return done.error();
    if (!done && !session_.was_lock_timeout()) note_failure(day.day, done.error(), work);
  }
  auto waiting = connection_.exec("SELECT count(*) FROM storage.day WHERE state < 3");
  if (!waiting) return waiting.error();
  work.days_waiting = waiting->integer(0, 0);
  return work;
}

// Closed days that are not compacted yet, and compacted ones that changed.
Result<std::vector<DayKeeper::Day>> DayKeeper::unfinished() {
  auto rows = connection_.exec(
      "SELECT d.day - date '1970-01-01', d.state FROM storage.day d WHERE d.state < 3"
      " OR EXISTS (SELECT 1 FROM storage.changed c WHERE c.day = d.day) ORDER BY 1");
  if (!rows) return rows.error();
  std::vector<Day> days;
  for (int i = 0; i < rows->size(); ++i)
    days.push_back({static_cast<std::int32_t>(rows->integer(i, 0)), rows->integer(i, 1)});
  return days;
}

// A backlog that is being sent into an old day is let in first: its rows would all be packed twice.
Result<std::vector<std::int32_t>> DayKeeper::closable(TimeUs now) {
  const TimeUs hot = std::chrono::duration_cast<std::chrono::microseconds>(limits_.hot).count();
  auto rows = connection_.exec(
      "SELECT d.day - date '1970-01-01', coalesce(t.n_tup_ins + t.n_tup_upd, 0) FROM storage.closable_days(date "
      "'1970-01-01' + $1::int4) d LEFT JOIN pg_stat_user_tables t ON t.schemaname = 'storage' AND t.relname = "
      "storage.day_table('sample', d.day) ORDER BY 1",
      Params{}.integer((now - hot) / kDay));
  if (!rows) return rows.error();
  std::vector<std::int32_t> days;
  std::map<std::int32_t, Seen> seen;
  const auto at = steady_clock::now();
  for (int i = 0; i < rows->size(); ++i) {
    const auto day = static_cast<std::int32_t>(rows->integer(i, 0));
    const auto before = seen_.find(day);
    const bool same = before != seen_.end() && before->second.rows == rows->integer(i, 1);
    seen[day] = same ? before->second : Seen{rows->integer(i, 1), at};
    if (at - seen[day].since >= limits_.quiet) days.push_back(day);
  }
  seen_ = std::move(seen);
  return days;
}

Status DayKeeper::finish(Day day, DayWork& work) {
  if (day.state == kCompacted) return repack(day.day, work);
  if (day.state == 0) {
    if (auto closed = session_.step("close", call("close_day"), Params{}.integer(day.day)); !closed)
      return closed.error();
  }
  if (day.state < kBuilt) {
    if (auto built = build(day.day); !built) return built;
  }
  if (stopped_()) return {};
  if (auto packed = repack(day.day, work); !packed) return packed;
  if (auto whole = check(day.day); !whole) return whole;
  return swap(day.day, work);
}

Status DayKeeper::build(std::int32_t day) {
  while (!stopped_()) {
    auto more =
        session_.step("build", call("build_some", ", $2::int8"), Params{}.integer(day).integer(limits_.rows_at_once));
    if (!more) return more.error();
    if (!more->boolean(0, 0)) return {};
  }
  return Error{ErrorKind::kUnavailable, "stopped"};
}

Status DayKeeper::repack(std::int32_t day, DayWork& work) {
  while (!stopped_()) {
    auto packed = session_.step("repack", call("repack_changed", ", $2::int4"),
                                Params{}.integer(day).integer(limits_.series_at_once));
    if (!packed) return packed.error();
    work.series_repacked += packed->integer(0, 0);
    if (packed->integer(0, 0) == 0) return {};
  }
  return Error{ErrorKind::kUnavailable, "stopped"};
}

Status DayKeeper::check(std::int32_t day) {
  auto whole = session_.step("check", call("is_whole"), Params{}.integer(day));
  if (!whole) return whole.error();
  if (whole->boolean(0, 0)) {
    auto analyzed =
        connection_.exec("SELECT storage.day_table('segment', " + std::string(kDate) + ")", Params{}.integer(day));
    if (!analyzed) return analyzed.error();
    return connection_.script("ANALYZE storage." + postgres::quote_identifier(analyzed->text(0, 0)));
  }
  if (auto again = session_.step("restart", call("restart_day"), Params{}.integer(day)); !again) return again.error();
  return Error{ErrorKind::kCorrupt,
               "the segments hold another number of points than the day's rows; the day is packed again"};
}

// Statements that began before the last packing and late rows hold the swap up; both pass.
Status DayKeeper::swap(std::int32_t day, DayWork& work) {
  const auto until = steady_clock::now() + limits_.swap_patience;
  while (!stopped_()) {
    auto swapped = session_.step("swap", call("swap_day"), Params{}.integer(day));
    if (!swapped && !session_.was_lock_timeout()) return swapped.error();
    if (swapped && swapped->integer(0, 0) >= 0) {
      work.locked_seconds.push_back(static_cast<double>(swapped->integer(0, 0)) / kUsPerSecond);
      ++work.days_compacted;
      auto points =
          connection_.exec("SELECT points FROM storage.day WHERE day = " + std::string(kDate), Params{}.integer(day));
      if (!points) return points.error();
      work.points_compacted += points->integer(0, 0);
      return {};
    }
    if (steady_clock::now() >= until) return {};
    std::this_thread::sleep_for(kSwapPause);
    if (auto packed = repack(day, work); !packed) return packed;
  }
  return {};
}

void DayKeeper::note_failure(std::int32_t day, const Error& error, DayWork& work) {
  if (stopped_()) return;
  ++work.days_failed;
  // Without a row the day is not closed yet: the next pass tries and tells again.
  static_cast<void>(connection_.exec("UPDATE storage.day SET failure = $2 WHERE day = " + std::string(kDate),
                                     Params{}.integer(day).text(error.message)));
}

}  // namespace millrace::writer
