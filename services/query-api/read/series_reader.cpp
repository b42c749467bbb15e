#include "read/series_reader.hpp"

#include <algorithm>

#include <millrace/storage_schema/statements.hpp>

namespace millrace::query_api {
namespace {

namespace sql = storage_schema::sql;
using postgres::Params;

/// As sql::kRange, with the running size of the page: $6 bytes; a row is given while those before it are smaller. Sizes
/// of texts come from their headers, without reading them.
constexpr const char* kSamples =
    "SELECT time, value, kind, other, untimed, total FROM ("
    " SELECT s.*, sum(32 + coalesce(octet_length(other), 0)) OVER (ORDER BY time ROWS UNBOUNDED PRECEDING) AS total "
    "FROM ("
    "  SELECT time, value, kind, other, untimed FROM storage.sample WHERE device_id = $1::int4 AND metric = $2::int4"
    "  AND time >= $3::timestamptz AND time < $4::timestamptz ORDER BY time LIMIT $5::int8) s) t"
    " WHERE total - 32 - coalesce(octet_length(other), 0) < $6::int8 ORDER BY time";

/// Time of the first number of a series in [$3, $4).
constexpr const char* kFirstNumber =
    "SELECT time FROM storage.sample WHERE device_id = $1::int4 AND metric = $2::int4 AND time >= $3::timestamptz"
    " AND time < $4::timestamptz AND (value IS NOT NULL OR kind = 1) ORDER BY time LIMIT 1";

/// Buckets of $5 microseconds; integers too large for `value` are in `other` (kind 1). The mean by a sum that is scaled
/// by 2^-40: avg() and a plain sum() fail on values near the end of double's range.
constexpr const char* kBuckets =
    "SELECT date_bin($5::int8 * interval '1 microsecond', time, timestamptz '1970-01-01 00:00:00+00') AS bucket, "
    "count(*),"
    " min(number), max(number),"
    " sum(number * 9.094947017729282379150390625e-13::float8) / count(*) * 1099511627776::float8 FROM ("
    " SELECT time, CASE WHEN kind = 1 THEN other::float8 ELSE value END AS number FROM storage.sample"
    " WHERE device_id = $1::int4 AND metric = $2::int4 AND time >= $3::timestamptz AND time < $4::timestamptz"
    " AND (value IS NOT NULL OR kind = 1)) s GROUP BY 1 ORDER BY 1";

constexpr const char* kLatestOfMetrics =
    "SELECT l.metric, m.name, m.type, l.time, l.value, l.kind, l.other FROM storage.latest l JOIN storage.metric m ON "
    "m.id = l.metric"
    " WHERE l.device_id = $1::int4 AND l.time IS NOT NULL AND m.name = ANY($2::text[]) ORDER BY m.name";

Params window_params(const Series& series, TimeUs from, TimeUs to) {
  Params params;
  params.integer(series.device_key).integer(series.metric_id).timestamptz(from).timestamptz(to);
  return params;
}

/// a + b, at the ends of the range where it would overflow.
TimeUs saturated_add(TimeUs a, TimeUs b) {
  TimeUs sum = 0;
  if (!__builtin_add_overflow(a, b, &sum)) return sum;
  return b > 0 ? std::numeric_limits<TimeUs>::max() : std::numeric_limits<TimeUs>::min();
}

}  // namespace

TimeUs bucket_start(TimeUs time, std::int64_t step_us) {
  const std::int64_t rest = time % step_us;
  return time - (rest < 0 ? rest + step_us : rest);
}

Result<std::vector<LatestValue>> SeriesReader::latest(std::int32_t device_key, const std::vector<std::string>& metrics,
                                                      postgres::Clock::time_point deadline) {
  auto connection = pool_.acquire(deadline);
  if (!connection.ok()) return connection.error();
  Params params;
  params.integer(device_key);
  if (!metrics.empty()) params.text_array(std::span<const std::string>(metrics));
  const auto rows = (*connection)->exec(metrics.empty() ? sql::kLatestOfDevice : kLatestOfMetrics, params);
  if (!rows.ok()) return rows.error();
  std::vector<LatestValue> values;
  values.reserve(static_cast<std::size_t>(rows->size()));
  for (int row = 0; row < rows->size(); ++row) {
    const auto type = static_cast<storage_schema::MetricType>(rows->integer(row, 2));
    auto value = storage_schema::value_of(storage_schema::cell_at(*rows, row, 4), type);
    if (!value.ok()) return value.error();
    values.push_back({std::string(rows->text(row, 1)), rows->timestamptz(row, 3), std::move(value).value()});
  }
  return values;
}

Result<Series> SeriesReader::resolve(std::string_view tenant, std::int32_t device_key, const std::string& metric,
                                     postgres::Clock::time_point deadline) {
  auto connection = pool_.acquire(deadline);
  if (!connection.ok()) return connection.error();
  Params params;
  params.text(tenant).text_array(std::span<const std::string>(&metric, 1));
  const auto rows = (*connection)->exec(sql::kMetricsByName, params);
  if (!rows.ok()) return rows.error();
  if (rows->empty())
    return Error{ErrorKind::kNotFound, "there is no metric '" + metric + "' in tenant " + std::string(tenant)};
  return Series{device_key, static_cast<std::int32_t>(rows->integer(0, 1)),
                static_cast<storage_schema::MetricType>(rows->integer(0, 2))};
}

Result<SamplePage> SeriesReader::samples(const Series& series, const Window& window,
                                         postgres::Clock::time_point deadline) {
  auto connection = pool_.acquire(deadline);
  if (!connection.ok()) return connection.error();
  Params params = window_params(series, window.from, window.to);
  params.integer(window.rows + 1).integer(kPageBytes);
  const auto rows = (*connection)->exec(kSamples, params);
  if (!rows.ok()) return rows.error();
  SamplePage page;
  const int given = std::min(rows->size(), window.rows);
  page.samples.reserve(static_cast<std::size_t>(given));
  for (int row = 0; row < given; ++row) {
    auto value = storage_schema::value_of(storage_schema::cell_at(*rows, row, 1), series.type);
    if (!value.ok()) return value.error();
    page.samples.push_back(
        {rows->timestamptz(row, 0), std::move(value).value(), !rows->is_null(row, 4) && rows->boolean(row, 4)});
  }
  const bool cut_by_rows = rows->size() > window.rows;
  const bool cut_by_bytes = !rows->empty() && rows->integer(rows->size() - 1, 5) >= kPageBytes;
  // A time occurs once in a series, so the next page starts just behind the last row.
  if (cut_by_rows || cut_by_bytes) page.next_from = page.samples.back().time + 1;
  return page;
}

Result<BucketPage> SeriesReader::buckets(const Series& series, const Window& window, std::int64_t step_us,
                                         postgres::Clock::time_point deadline) {
  auto connection = pool_.acquire(deadline);
  if (!connection.ok()) return connection.error();
  BucketPage page;
  const auto first = (*connection)->exec(kFirstNumber, window_params(series, window.from, window.to));
  if (!first.ok()) return first.error();
  if (first->empty()) return page;
  // A stretch of so many steps holds at most so many buckets; a gap before it costs one look into the index.
  const TimeUs from = std::max(window.from, first->timestamptz(0, 0));
  std::int64_t length = 0;
  if (__builtin_mul_overflow(step_us, static_cast<std::int64_t>(window.rows), &length)) {
    length = std::numeric_limits<std::int64_t>::max();
  }
  const TimeUs to = std::min(window.to, saturated_add(bucket_start(from, step_us), length));
  Params params = window_params(series, from, to);
  params.integer(step_us);
  const auto rows = (*connection)->exec(kBuckets, params);
  if (!rows.ok()) return rows.error();
  for (int row = 0; row < rows->size(); ++row) {
    page.buckets.push_back({rows->timestamptz(row, 0), rows->integer(row, 1), rows->float8(row, 2),
                            rows->float8(row, 3), rows->float8(row, 4)});
  }
  if (to < window.to) page.next_from = to;
  return page;
}

}  // namespace millrace::query_api
