#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>
#include <millrace/postgres/connection.hpp>
#include <millrace/registry_view/retention.hpp>

#include "tiers/keeper_session.hpp"

namespace millrace::writer {

struct RetentionLimits {
  std::int64_t most_at_once = 2'000'000;       ///< rows or segments of one deletion
  std::chrono::milliseconds patience{10'000};  ///< for one lock of one day; then the next pass tries again
  double dead_share = 0.3;                     ///< of a day's segments; beyond, they are copied into a new table
};

/// Points of a day and a rule that went.
struct RetentionRemoval {
  std::string tenant;
  std::string type;      ///< empty: by the tenant's rule
  std::int32_t day = 0;  ///< since the epoch
  std::int64_t points = 0;
  std::int64_t bytes = 0;
};

/// What a pass did.
struct RetentionWork {
  bool elsewhere = false;  ///< another session keeps the days; nothing was done
  std::vector<RetentionRemoval> removed;
  std::int64_t days_emptied = 0;  ///< at once, as a whole
  std::int64_t days_rebuilt = 0;
  std::int64_t days_waiting = 0;  ///< something is to go of them, and somebody is at work on them
  std::int64_t days_failed = 0;
  std::string failure;                 ///< of the last of these
  std::vector<double> locked_seconds;  ///< of each rebuilt day: nobody could read segments for so long
};

/// Removes points whose days are over (docs/storage.md): a day of which nothing stays as a whole, else its segments,
/// rows and windows, and the space of the segments by copying the others. What goes of archived days it tells the
/// archiver. Each step is a transaction of its own, and
/// what is to do next is seen in the database, so a pass that was cut off anywhere is simply followed by another.
/// Blocking; one thread.
class RetentionKeeper {
 public:
  RetentionKeeper(postgres::Connection& connection, RetentionLimits limits, std::function<bool()> stopped,
                  KeeperSession::OnStep on_step = {});

  /// One pass over all days; one that fails is left to the next pass. `plan` is of all tenants and complete: a device
  /// that it lacks is under its tenant's rule. kUnavailable: the connection is gone.
  [[nodiscard]] Result<RetentionWork> pass(const registry_view::RetentionPlan& plan, TimeUs now);

 private:
  struct Day {
    std::int32_t day = 0;  // since the epoch
    std::string rules;     // under which it is looked at now
    std::string sees;
  };
  enum class Outcome : std::uint8_t { kClear, kWaiting, kStays };

  [[nodiscard]] Result<RetentionWork> keep(const registry_view::RetentionPlan& plan, std::int32_t today);
  [[nodiscard]] Result<std::int64_t> epoch(const registry_view::RetentionPlan& plan);
  [[nodiscard]] Result<std::vector<Day>> changed_days(const registry_view::RetentionPlan& plan, std::int32_t today);
  [[nodiscard]] Result<Outcome> clear(const registry_view::RetentionPlan& plan, const Day& day, std::int32_t today,
                                      RetentionWork& work);
  [[nodiscard]] Result<Outcome> drop(const postgres::Params& what, RetentionWork& work);
  [[nodiscard]] Result<Outcome> remove(const postgres::Params& what);
  [[nodiscard]] Status mark(const Day& day);
  [[nodiscard]] Status rebuild(RetentionWork& work);
  [[nodiscard]] Status rebuild_day(std::int32_t day, RetentionWork& work);
  [[nodiscard]] Status swap(std::int32_t day, RetentionWork& work);
  static void note_removed(const registry_view::RetentionPlan& plan, std::int32_t day, const postgres::Rows& figures,
                           int column, RetentionWork& work);
  void note(const Status& done, RetentionWork& work);

  KeeperSession session_;
  RetentionLimits limits_;
  std::function<bool()> stopped_;
};

}  // namespace millrace::writer
