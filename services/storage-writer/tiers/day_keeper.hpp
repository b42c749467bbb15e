#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>
#include <millrace/postgres/connection.hpp>

#include "tiers/keeper_session.hpp"

namespace millrace::writer {

/// When and in which bites days are compacted.
struct DayLimits {
  std::chrono::hours hot{48};             ///< a day may close so long after its end
  std::chrono::seconds quiet{600};        ///< and when no row came into it for so long
  std::int64_t rows_at_once = 2'000'000;  ///< rows of one packing transaction, about
  std::int32_t series_at_once = 200;      ///< changed series of one transaction
  std::chrono::milliseconds swap_patience{10'000};
};

/// What a pass did.
struct DayWork {
  bool elsewhere = false;  ///< another session keeps the days; nothing was done
  std::int64_t days_compacted = 0;
  std::int64_t points_compacted = 0;
  std::int64_t series_repacked = 0;
  std::int64_t days_waiting = 0;  ///< closed or ready to close, and not compacted after the pass
  std::int64_t days_failed = 0;
  std::vector<double> locked_seconds;  ///< one for each swap: nobody could use that day's partition for so long
};

/// Takes days from rows to segments and roll-ups (docs/storage.md): close, build, repack, check, swap, and for
/// compacted days that changed repack again. Each step is a transaction of its own, and what is to do next stands in
/// the database, so a pass that was cut off anywhere is simply followed by another. Two keepers at once are one too
/// many: a lock decides. Blocking; one thread.
class DayKeeper {
 public:
  using OnStep = KeeperSession::OnStep;
  DayKeeper(postgres::Connection& connection, DayLimits limits, std::function<bool()> stopped, OnStep on_step = {});

  /// One pass over all days; a day that fails is noted in storage.day and left to the next pass. kUnavailable: the
  /// connection is gone.
  [[nodiscard]] Result<DayWork> pass(TimeUs now);

 private:
  struct Day {
    std::int32_t day = 0;  // since the epoch
    std::int64_t state = 0;
  };
  struct Seen {
    std::int64_t rows = 0;
    std::chrono::steady_clock::time_point since;
  };

  [[nodiscard]] Result<DayWork> keep(TimeUs now);
  [[nodiscard]] Result<std::vector<Day>> unfinished();
  [[nodiscard]] Result<std::vector<std::int32_t>> closable(TimeUs now);
  [[nodiscard]] Status finish(Day day, DayWork& work);
  [[nodiscard]] Status build(std::int32_t day);
  [[nodiscard]] Status repack(std::int32_t day, DayWork& work);
  [[nodiscard]] Status check(std::int32_t day);
  [[nodiscard]] Status swap(std::int32_t day, DayWork& work);
  void note_failure(std::int32_t day, const Error& error, DayWork& work);
  postgres::Connection& connection_;
  KeeperSession session_;
  DayLimits limits_;
  std::function<bool()> stopped_;
  std::map<std::int32_t, Seen> seen_;  // of closable days: since when their number of changes stands still
};

}  // namespace millrace::writer
