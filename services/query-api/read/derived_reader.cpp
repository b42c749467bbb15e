#include "read/derived_reader.hpp"

#include <algorithm>

namespace millrace::query_api {
namespace {

using postgres::Params;

/// The greatest revision of each window: $1 device, $2 metric, $3 from, $4 to, $5 and $6 start and size of the last
/// one given, $7 limit.
constexpr const char* kWindows =
    "SELECT DISTINCT ON (start, size_us) start, size_us, revision, final, count, min, max, mean, last, last_time,"
    " approximate FROM storage.window_result WHERE device_id = $1::int4 AND metric = $2::int4"
    " AND start >= $3::timestamptz AND start < $4::timestamptz AND (start, size_us) > ($5::timestamptz, $6::int8)"
    " ORDER BY start, size_us, revision DESC LIMIT $7::int8";

/// $1 tenant, $2 from, $3 to, $4 and $5 raise and episode of the last one given, $6 limit, $7 bytes: an event is given
/// while those before it are smaller. `restriction` stands in the text where it is used, so that the planner sees which
/// of the partial indexes fits.
std::string alerts_statement(const std::string& restriction) {
  return "SELECT raised_at, alert_id, event, total FROM ("
         " SELECT a.*, sum(octet_length(event)) OVER (ORDER BY raised_at DESC, alert_id DESC ROWS UNBOUNDED PRECEDING)"
         " AS total FROM (SELECT raised_at, alert_id, event FROM storage.alert WHERE tenant = $1 AND NOT superseded"
         " AND raised_at >= $2::timestamptz AND raised_at < $3::timestamptz"
         " AND (raised_at, alert_id) < ($4::timestamptz, $5::text COLLATE \"C\")" +
         restriction +
         " ORDER BY raised_at DESC, alert_id DESC LIMIT $6::int8) a) t"
         " WHERE total - octet_length(event) < $7::int8 ORDER BY raised_at DESC, alert_id DESC";
}

/// $1 tenant, $2 alert_id, $3 event number of the last one given, $4 limit, $5 bytes.
constexpr const char* kHistory =
    "SELECT event_number, event, total FROM (SELECT event_number, event,"
    " sum(octet_length(event)) OVER (ORDER BY event_number ROWS UNBOUNDED PRECEDING) AS total FROM storage.alert"
    " WHERE tenant = $1 AND alert_id = $2 AND event_number > $3::int8 ORDER BY event_number LIMIT $4::int8) a"
    " WHERE total - octet_length(event) < $5::int8 ORDER BY event_number";

/// Behind every episode: `g` is greater than any hexadecimal digit.
constexpr const char* kBehindAll = "g";

}  // namespace

Result<WindowPage> DerivedReader::windows(const Series& series, const Window& window,
                                          const std::optional<WindowPosition>& after, const Patience& patience) {
  auto connection = patience.acquire(pool_);
  if (!connection.ok()) return connection.error();
  // A size is more than 0.
  const WindowPosition behind = after.value_or(WindowPosition{window.from, 0});
  Params params;
  params.integer(series.device_key).integer(series.metric_id);
  params.timestamptz(std::max(window.from, behind.start)).timestamptz(window.to);
  params.timestamptz(behind.start).integer(behind.size_us).integer(window.rows + 1);
  const auto rows = (*connection)->exec(kWindows, params);
  if (!rows.ok()) return rows.error();
  WindowPage page;
  const int given = std::min(rows->size(), window.rows);
  page.windows.reserve(static_cast<std::size_t>(given));
  for (int row = 0; row < given; ++row) {
    page.windows.push_back({.start = rows->timestamptz(row, 0),
                            .size_us = rows->integer(row, 1),
                            .revision = static_cast<std::int32_t>(rows->integer(row, 2)),
                            .is_final = rows->boolean(row, 3),
                            .count = rows->integer(row, 4),
                            .min = rows->float8(row, 5),
                            .max = rows->float8(row, 6),
                            .mean = rows->float8(row, 7),
                            .last = rows->float8(row, 8),
                            .last_time = rows->timestamptz(row, 9),
                            .approximate = rows->boolean(row, 10)});
  }
  if (rows->size() > given) page.next = WindowPosition{page.windows.back().start, page.windows.back().size_us};
  return page;
}

Result<AlertPage> DerivedReader::alerts(const AlertFilter& filter, int limit,
                                        const std::optional<AlertPosition>& before, const Patience& patience) {
  auto connection = patience.acquire(pool_);
  if (!connection.ok()) return connection.error();
  const AlertPosition end = before.value_or(AlertPosition{filter.to, kBehindAll});
  Params params;
  params.text(filter.tenant).timestamptz(filter.from).timestamptz(filter.to);
  params.timestamptz(end.raised_at).text(end.episode).integer(limit + 1).integer(SeriesReader::kPageBytes);
  std::string restriction;
  if (filter.state != 0) restriction += " AND state = " + std::to_string(filter.state);
  if (filter.min_severity > 0) restriction += " AND severity >= " + std::to_string(filter.min_severity);
  const auto restrict_to = [&](const char* column, const std::string& value) {
    if (value.empty()) return;
    params.text(value);
    restriction += std::string(" AND ") + column + " = $" + std::to_string(params.size());
  };
  restrict_to("device", filter.device);
  restrict_to("rule", filter.rule);
  const auto rows = (*connection)->exec(alerts_statement(restriction), params);
  if (!rows.ok()) return rows.error();
  AlertPage page;
  const int given = std::min(rows->size(), limit);
  page.events.reserve(static_cast<std::size_t>(given));
  for (int row = 0; row < given; ++row) page.events.emplace_back(rows->text(row, 2));
  const bool cut_by_bytes = !rows->empty() && rows->integer(rows->size() - 1, 3) >= SeriesReader::kPageBytes;
  if (rows->size() > limit || cut_by_bytes) {
    page.next = AlertPosition{rows->timestamptz(given - 1, 0), std::string(rows->text(given - 1, 1))};
  }
  return page;
}

Result<HistoryPage> DerivedReader::history(const std::string& tenant, const std::string& episode, std::int64_t after,
                                           int limit, const Patience& patience) {
  auto connection = patience.acquire(pool_);
  if (!connection.ok()) return connection.error();
  Params params;
  params.text(tenant).text(episode).integer(after).integer(limit + 1).integer(SeriesReader::kPageBytes);
  const auto rows = (*connection)->exec(kHistory, params);
  if (!rows.ok()) return rows.error();
  HistoryPage page;
  const int given = std::min(rows->size(), limit);
  for (int row = 0; row < given; ++row) page.events.emplace_back(rows->text(row, 1));
  const bool cut_by_bytes = !rows->empty() && rows->integer(rows->size() - 1, 2) >= SeriesReader::kPageBytes;
  if (rows->size() > limit || cut_by_bytes) page.next = rows->integer(given - 1, 0);
  return page;
}

}  // namespace millrace::query_api
