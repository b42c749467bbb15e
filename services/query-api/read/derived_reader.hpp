#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>
#include <millrace/postgres/pool.hpp>

#include "read/series_reader.hpp"

namespace millrace::query_api {

/// The figures of one series over [start, start + size_us), the last revision.
struct WindowFigures {
  TimeUs start = 0;
  std::int64_t size_us = 0;
  std::int32_t revision = 0;
  bool is_final = false;
  std::int64_t count = 0;
  double min = 0;
  double max = 0;
  double mean = 0;
  double last = 0;
  TimeUs last_time = 0;
  bool approximate = false;
};
/// Windows of several sizes may start at one time: a page ends behind (start, size).
struct WindowPosition {
  TimeUs start = 0;
  std::int64_t size_us = 0;
};
struct WindowPage {
  std::vector<WindowFigures> windows;
  std::optional<WindowPosition> next;  ///< of the last one given; empty: no more
};

/// Which alerts of a tenant; empty members do not restrict.
struct AlertFilter {
  std::string tenant;
  std::string device;
  std::string rule;
  int state = 0;         ///< as in alerts.v1.State; 0: both
  int min_severity = 0;  ///< as in rules.v1.Severity
  TimeUs from = 0;       ///< of the raise, inclusive
  TimeUs to = 0;         ///< exclusive
};
/// The last raised comes first, so a page goes on before (raised_at, episode).
struct AlertPosition {
  TimeUs raised_at = 0;
  std::string episode;  ///< 32 lower-case hexadecimal digits
};
struct AlertPage {
  std::vector<std::string> events;    ///< alerts.v1.Alert, the latest event of each episode
  std::optional<AlertPosition> next;  ///< of the last one given; empty: no more
};

struct HistoryPage {
  std::vector<std::string> events;   ///< alerts.v1.Alert
  std::optional<std::int64_t> next;  ///< event number of the last one given; empty: no more
};

/// Windows and alerts as PostgreSQL holds them. Blocking, each call at most as long as its patience, after which the
/// statement is cancelled. Thread-safe. kUnavailable: no database; kThrottled: all connections are busy until the
/// deadline.
class DerivedReader {
 public:
  explicit DerivedReader(postgres::Pool& pool) : pool_(pool) {}

  /// In order of (start, size), at most `window.rows`, behind `after`.
  [[nodiscard]] Result<WindowPage> windows(const Series& series, const Window& window,
                                           const std::optional<WindowPosition>& after, const Patience& patience);

  /// At most `rows`, and about SeriesReader::kPageBytes, before `before`.
  [[nodiscard]] Result<AlertPage> alerts(const AlertFilter& filter, int rows,
                                         const std::optional<AlertPosition>& before, const Patience& patience);

  /// All events of one alert of the tenant behind event number `after`, the first one first: at most `rows`, and about
  /// SeriesReader::kPageBytes.
  [[nodiscard]] Result<HistoryPage> history(const std::string& tenant, const std::string& episode, std::int64_t after,
                                            int rows, const Patience& patience);

 private:
  postgres::Pool& pool_;
};

}  // namespace millrace::query_api
