#include "read/group_reader.hpp"

#include <algorithm>
#include <cmath>

#include "read/bucket_fold.hpp"
#include "read/series_reader.hpp"
#include "read/statements.hpp"

namespace millrace::query_api {
namespace {

using postgres::Params;

/// $1 metric, $2 devices, $3 from, $4 to → the numbers. Integers too large for `value` are in `other` (kind 1).
constexpr const char* kNumbers =
    "(SELECT device_id, time, CASE WHEN kind = 1 THEN other::float8 ELSE value END AS number"
    " FROM storage.points_in($3::timestamptz, $4::timestamptz) WHERE metric = $1::int4 AND device_id = ANY($2::int4[])"
    " AND (value IS NOT NULL OR kind = 1)) numbers";

/// PostgreSQL refuses sums beyond the range of doubles: large ones are added scaled by 2^-40. What is left of either
/// sum is added up here, see sum_of().
constexpr const char* kSums =
    " count(*) AS n, sum(number) FILTER (WHERE abs(number) < 1e290) AS small,"
    " sum(number * 9.094947017729282379150390625e-13::float8) FILTER (WHERE abs(number) >= 1e290) AS large,"
    " min(number) AS low, max(number) AS high";
constexpr long double kScale = 1'099'511'627'776.0L;

/// The value at a time that was found.
constexpr const char* kValueAt =
    "(SELECT CASE WHEN kind = 1 THEN other::float8 ELSE value END"
    " FROM storage.points(f.%d, $1::int4, f.%t, f.%t + interval '1 microsecond') LIMIT 1)";

std::string value_at(const std::string& device, const std::string& time) {
  std::string text = kValueAt;
  text.replace(text.find("%d"), 2, device);
  text.replace(text.find("%t"), 2, time);
  return text.replace(text.find("%t"), 2, time);
}

/// $5 and what follows: of the cut. First each device by itself, then all of them together; the first and the last
/// value are looked up through the index of the series.
std::string aggregate_statement(const Cut& cut) {
  const bool steps = cut.step_us != 0;
  std::string text = "WITH alone AS (SELECT ";
  text.append(steps ? "date_bin($5::int8 * interval '1 microsecond', time, $6::timestamptz)" : "date_trunc('");
  if (!steps) text.append(cut.unit).append("', time, $5::text)");
  text.append(" AS bucket, device_id,").append(kSums).append(", min(time) AS t0, max(time) AS t1 FROM ");
  text.append(kNumbers).append(
      " GROUP BY 1, 2),"
      " f AS (SELECT bucket, sum(n)::int8 AS n, sum(small) AS small, sum(large) AS large, min(low) AS low,"
      " max(high) AS high, min(t0) AS t0, max(t1) AS t1, count(*) AS devices,"
      " (array_agg(device_id ORDER BY t0, device_id))[1] AS d0,"
      " (array_agg(device_id ORDER BY t1 DESC, device_id DESC))[1] AS d1 FROM alone GROUP BY bucket)"
      " SELECT bucket, ");
  text.append(steps ? "f.bucket + $5::int8 * interval '1 microsecond'" : "((f.bucket AT TIME ZONE $5::text)");
  if (!steps) text.append(" + interval '1 ").append(cut.unit).append("') AT TIME ZONE $5::text");
  text.append(", n, small, large, low, high, t0, t1, devices, ").append(value_at("d0", "t0")).append(", ");
  return text.append(value_at("d1", "t1")).append(" FROM f ORDER BY bucket");
}

/// The earliest number of the group in [$3, $4), by a look into the index for each device, or into its first segment.
constexpr const char* kFirstOfGroup =
    "SELECT min(CASE WHEN EXISTS (SELECT 1 FROM storage.segment g WHERE g.device_id = d.device AND g.metric = $1::int4"
    " AND g.day >= ($3::timestamptz AT TIME ZONE 'UTC')::date AND g.day <= ($4::timestamptz AT TIME ZONE 'UTC')::date)"
    " THEN storage.first_number(d.device, $1::int4, $3::timestamptz, $4::timestamptz)"
    " ELSE (SELECT s.time FROM storage.sample s WHERE s.device_id = d.device AND s.metric = $1::int4"
    " AND s.time >= $3::timestamptz AND s.time < $4::timestamptz AND (s.value IS NOT NULL OR s.kind = 1)"
    " ORDER BY s.time LIMIT 1) END) FROM unnest($2::int4[]) AS d(device)";

/// What `top` orders by. Of sums the large one first: beside it the small one does not count. Divided only where the
/// quotient can be held.
std::vector<std::string> order_of(Measure measure) {
  switch (measure) {
    case Measure::kMean:
      return {"coalesce(large, 0) / n", "CASE WHEN abs(small) > 1e-290 THEN small / n ELSE 0 END"};
    case Measure::kSum:
      return {"coalesce(large, 0)", "coalesce(small, 0)"};
    case Measure::kMin:
      return {"low"};
    case Measure::kMax:
      return {"high"};
    case Measure::kCount:
      break;
  }
  return {"n"};
}

std::string top_of(const std::string& figures, Measure measure, Rank rank) {
  std::string text = "SELECT device_id, n, small, large, low, high FROM (" + figures + ") f ORDER BY ";
  for (const std::string& key : order_of(measure)) {
    text.append(key).append(rank == Rank::kHighest ? " DESC, " : " ASC, ");
  }
  return text.append("device_id LIMIT $5::int8");
}

std::string figures_of_points() {
  return std::string("SELECT device_id,").append(kSums).append(" FROM ").append(kNumbers).append(" GROUP BY device_id");
}

/// The same with roll-ups for what they answer: whole days in [$6, $7) since 1970 that are compacted and did not change
/// since (a row that comes late leaves its mark, so such a day has no others than its segments').
std::string figures_with_rollups() {
  return std::string(
             "WITH clean AS MATERIALIZED (SELECT d.day FROM storage.day d WHERE d.state = 3"
             " AND d.day >= date '1970-01-01' + $6::int4 AND d.day < date '1970-01-01' + $7::int4 AND NOT EXISTS "
             "(SELECT 1 FROM storage.changed c WHERE c.day = d.day"
             " AND c.metric = $1::int4)),"
             " points AS (SELECT device_id,")
      .append(kSums)
      .append(
          " FROM (SELECT device_id, CASE WHEN kind = 1 THEN other::float8 ELSE value END AS number FROM ("
          "SELECT s.device_id, s.value, s.kind, s.other FROM storage.sample s WHERE s.metric = $1::int4"
          " AND s.device_id = ANY($2::int4[]) AND s.time >= $3::timestamptz AND s.time < $4::timestamptz"
          " UNION ALL SELECT g.device_id, e.value, e.kind, e.other FROM storage.segment g"
          " CROSS JOIN LATERAL storage.expand(g) e WHERE g.metric = $1::int4 AND g.device_id = ANY($2::int4[])"
          " AND g.day >= ($3::timestamptz AT TIME ZONE 'UTC')::date"
          " AND g.day <= ($4::timestamptz AT TIME ZONE 'UTC')::date"
          " AND g.start < $4::timestamptz AND g.stop >= $3::timestamptz AND e.time >= $3::timestamptz"
          " AND e.time < $4::timestamptz AND NOT (g.day IN (SELECT day FROM clean)"
          " AND EXISTS (SELECT 1 FROM storage.rollup_day r WHERE r.metric = $1::int4 AND r.day >= date '1970-01-01' + "
          "$6::int4 AND r.day < date '1970-01-01' + $7::int4 AND r.day = g.day"
          " AND r.device_id = g.device_id))) p WHERE value IS NOT NULL OR kind = 1) numbers GROUP BY device_id)"
          " SELECT device_id, sum(n)::int8 AS n, sum(small) AS small, sum(large) AS large, min(low) AS low,"
          " max(high) AS high FROM (SELECT * FROM points UNION ALL"
          " SELECT r.device_id, r.n, r.sum, NULL, r.min, r.max FROM storage.rollup_day r WHERE r.metric = $1::int4"
          " AND r.day IN (SELECT day FROM clean) AND r.device_id = ANY($2::int4[])) parts GROUP BY device_id");
}

/// The whole UTC days of [from, to), counted from 1970.
struct WholeDays {
  std::int64_t first = 0;
  std::int64_t end = 0;
};
WholeDays whole_days(TimeUs from, TimeUs to) {
  constexpr TimeUs kDay = 86'400 * kUsPerSecond;
  return {-(bucket_start(-from, kDay) / kDay), bucket_start(to, kDay) / kDay};
}

/// Whether roll-ups may answer some of it. A day that is compacted behind this look is read from its points.
Result<bool> has_compacted_days(postgres::Connection& connection, const WholeDays& days) {
  if (days.first >= days.end) return false;
  const auto found = exec(connection, statements::kCompacted, Params{}.integer(days.first).integer(days.end));
  if (!found.ok()) return found.error();
  return found->boolean(0, 0);
}

/// $1 devices, $2 and $3 device and metric of the last one given, $4 limit, $5 bytes, $6 names: a row is given while
/// those before it are smaller.
std::string latest_statement(bool of_names) {
  std::string text =
      "SELECT device_id, metric, name, type, time, value, kind, other, total FROM ("
      " SELECT s.*, sum(260 + coalesce(octet_length(other), 0))"
      " OVER (ORDER BY device_id, metric ROWS UNBOUNDED PRECEDING) AS total FROM ("
      "  SELECT l.device_id, l.metric, m.name, m.type, l.time, l.value, l.kind, l.other"
      "  FROM storage.latest l JOIN storage.metric m ON m.id = l.metric WHERE l.device_id = ANY($1::int4[])"
      "  AND (l.device_id, l.metric) > ($2::int4, $3::int4) AND l.time IS NOT NULL";
  if (of_names) text.append(" AND m.name = ANY($6::text[])");
  return text.append(
      "  ORDER BY l.device_id, l.metric LIMIT $4::int8) s) t"
      " WHERE total - 260 - coalesce(octet_length(other), 0) < $5::int8 ORDER BY device_id, metric");
}

long double sum_of(const postgres::Rows& rows, int row, int small) {
  long double sum = rows.is_null(row, small) ? 0 : static_cast<long double>(rows.float8(row, small));
  if (!rows.is_null(row, small + 1)) sum += static_cast<long double>(rows.float8(row, small + 1)) * kScale;
  return sum;
}

Params group_params(const Group& group, TimeUs from, TimeUs to) {
  Params params;
  params.integer(group.metric_id).int4_array(group.devices).timestamptz(from).timestamptz(to);
  return params;
}

GroupBucket bucket_at(const postgres::Rows& rows, int row) {
  const long double sum = sum_of(rows, row, 3);
  const std::int64_t count = rows.integer(row, 2);
  return {.start = rows.timestamptz(row, 0),
          .end = rows.timestamptz(row, 1),
          .count = count,
          .sum = static_cast<double>(sum),
          .mean = static_cast<double>(sum / static_cast<long double>(count)),
          .min = rows.float8(row, 5),
          .max = rows.float8(row, 6),
          .first = rows.float8(row, 10),
          .last = rows.float8(row, 11),
          .first_time = rows.timestamptz(row, 7),
          .last_time = rows.timestamptz(row, 8),
          .devices = rows.integer(row, 9)};
}

Result<TimeUs> units_behind(postgres::Connection& connection, const Cut& cut, TimeUs from, int rows) {
  std::string statement = "SELECT (date_trunc('";
  statement.append(cut.unit).append("', $1::timestamptz AT TIME ZONE $2::text) + $3::int4 * interval '1 ");
  statement.append(cut.unit).append("') AT TIME ZONE $2::text");
  const auto end = connection.exec(statement, Params{}.timestamptz(from).text(cut.zone).integer(rows));
  if (!end.ok()) return end.error();
  return end->timestamptz(0, 0);
}

/// End of the stretch that holds `rows` buckets from the one of `from` on.
Result<TimeUs> stretch_end(postgres::Connection& connection, const Cut& cut, TimeUs from, TimeUs to, int rows) {
  if (cut.step_us == 0) {
    const auto end = units_behind(connection, cut, from, rows);
    if (!end.ok()) return end.error();
    return std::min(to, end.value());
  }
  std::int64_t length = 0;
  TimeUs end = 0;
  if (__builtin_mul_overflow(cut.step_us, static_cast<std::int64_t>(rows), &length) ||
      __builtin_add_overflow(bucket_start(from, cut.step_us), length, &end)) {
    return to;
  }
  return std::min(to, end);
}

double value_of(const postgres::Rows& rows, int row, Measure measure) {
  switch (measure) {
    case Measure::kMean:
      return static_cast<double>(sum_of(rows, row, 2) / static_cast<long double>(rows.integer(row, 1)));
    case Measure::kSum:
      return static_cast<double>(sum_of(rows, row, 2));
    case Measure::kMin:
      return rows.float8(row, 4);
    case Measure::kMax:
      return rows.float8(row, 5);
    case Measure::kCount:
      break;
  }
  return static_cast<double>(rows.integer(row, 1));
}

}  // namespace

Result<GroupPage> GroupReader::aggregate(const Group& group, const Cut& cut, TimeUs from, TimeUs to, int rows,
                                         const Patience& patience) {
  auto connection = patience.acquire(pool_);
  if (!connection.ok()) return connection.error();
  GroupPage page;
  while (from < to) {
    const auto end = stretch_end(**connection, cut, from, to, rows);
    if (!end.ok()) return end.error();
    Params params = group_params(group, from, end.value());
    if (cut.step_us != 0) {
      params.integer(cut.step_us).timestamptz(bucket_start(from, cut.step_us));
    } else {
      params.text(cut.zone);
    }
    const auto found = (*connection)->exec(aggregate_statement(cut), params);
    if (!found.ok()) return found.error();
    for (int row = 0; row < found->size(); ++row) page.buckets.push_back(bucket_at(*found, row));
    from = end.value();
    if (!page.buckets.empty() || from >= to) break;
    // An empty stretch: on to the next number, however far it is.
    const auto next = first_number(**connection, group, from, to);
    if (!next.ok()) return next.error();
    if (!next.value()) return page;
    from = **next;
  }
  if (from < to) page.next_from = from;
  return page;
}

Result<std::optional<TimeUs>> GroupReader::first_number(postgres::Connection& connection, const Group& group,
                                                        TimeUs from, TimeUs to) {
  const auto found = connection.exec(kFirstOfGroup, group_params(group, from, to));
  if (!found.ok()) return found.error();
  if (found->is_null(0, 0)) return std::optional<TimeUs>{};
  return std::optional<TimeUs>{found->timestamptz(0, 0)};
}

Result<std::vector<Ranked>> GroupReader::top(const Group& group, TimeUs from, TimeUs to, Measure measure, Rank rank,
                                             int n, const Patience& patience) {
  auto connection = patience.acquire(pool_);
  if (!connection.ok()) return connection.error();
  const WholeDays days = whole_days(from, to);
  const auto compacted = has_compacted_days(**connection, days);
  if (!compacted.ok()) return compacted.error();
  Params params = group_params(group, from, to);
  params.integer(n);
  if (*compacted) params.integer(days.first).integer(days.end);
  const auto rows =
      (*connection)->exec(top_of(*compacted ? figures_with_rollups() : figures_of_points(), measure, rank), params);
  if (!rows.ok()) return rows.error();
  std::vector<Ranked> best;
  for (int row = 0; row < rows->size(); ++row) {
    best.push_back(
        {static_cast<std::int32_t>(rows->integer(row, 0)), value_of(*rows, row, measure), rows->integer(row, 1)});
  }
  return best;
}

Result<LatestPage> GroupReader::latest(const std::vector<std::int32_t>& devices,
                                       const std::vector<std::string>& metrics, const LatestPosition& after, int limit,
                                       const Patience& patience) {
  auto connection = patience.acquire(pool_);
  if (!connection.ok()) return connection.error();
  Params params;
  params.int4_array(devices).integer(after.device_key).integer(after.metric_id).integer(limit + 1);
  params.integer(SeriesReader::kPageBytes);
  if (!metrics.empty()) params.text_array(std::span<const std::string>(metrics));
  const auto rows = (*connection)->exec(latest_statement(!metrics.empty()), params);
  if (!rows.ok()) return rows.error();
  LatestPage page;
  const int given = std::min(rows->size(), limit);
  for (int row = 0; row < given; ++row) {
    auto value = storage_schema::value_of(storage_schema::cell_at(*rows, row, 5),
                                          static_cast<storage_schema::MetricType>(rows->integer(row, 3)));
    if (!value.ok()) return value.error();
    page.values.push_back({static_cast<std::int32_t>(rows->integer(row, 0)),
                           static_cast<std::int32_t>(rows->integer(row, 1)), std::string(rows->text(row, 2)),
                           rows->timestamptz(row, 4), std::move(value).value()});
  }
  const bool cut_by_bytes = !rows->empty() && rows->integer(rows->size() - 1, 8) >= SeriesReader::kPageBytes;
  if (rows->size() > limit || cut_by_bytes) {
    page.next = LatestPosition{page.values.back().device_key, page.values.back().metric_id};
  }
  return page;
}

Status GroupReader::check_zone(const std::string& zone, const Patience& patience) {
  {
    const std::lock_guard lock(mutex_);
    if (zones_.contains(zone)) return {};
  }
  auto connection = patience.acquire(pool_);
  if (!connection.ok()) return connection.error();
  const auto found = (*connection)->exec("SELECT 1 FROM pg_timezone_names WHERE name = $1", Params{}.text(zone));
  if (!found.ok()) return found.error();
  if (found->empty()) {
    return Error{ErrorKind::kInvalid,
                 "there is no time zone '" + zone + "': a name of the IANA database is wanted, as Europe/Berlin"};
  }
  const std::lock_guard lock(mutex_);
  zones_.insert(zone);
  return {};
}

}  // namespace millrace::query_api
