#include "read/series_reader.hpp"

#include <algorithm>

#include "read/statements.hpp"

namespace millrace::query_api {
namespace {

using postgres::Params;

Params window_params(const Series& series, TimeUs from, TimeUs to) {
  Params params;
  params.integer(series.device_key).integer(series.metric_id).timestamptz(from).timestamptz(to);
  return params;
}

}  // namespace

Result<std::vector<LatestValue>> SeriesReader::latest(std::int32_t device_key, const std::vector<std::string>& metrics,
                                                      const Patience& patience) {
  auto connection = patience.acquire(pool_);
  if (!connection.ok()) return connection.error();
  Params params;
  params.integer(device_key);
  if (!metrics.empty()) params.text_array(std::span<const std::string>(metrics));
  const auto rows = exec(**connection, metrics.empty() ? statements::kLatest : statements::kLatestOfMetrics, params);
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

std::optional<SeriesReader::Known> SeriesReader::known(const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = known_.find(key);
  if (found == known_.end() || found->second.until <= std::chrono::steady_clock::now()) return std::nullopt;
  return found->second;
}

void SeriesReader::keep(const std::string& key, const Known& found) {
  const std::lock_guard lock(mutex_);
  if (known_.size() >= kMostKept) known_.clear();
  known_.insert_or_assign(key, found);
}

Result<Series> SeriesReader::resolve(std::string_view tenant, std::int32_t device_key, const std::string& metric,
                                     const Patience& patience) {
  // Neither holds a zero.
  const std::string key = std::string(tenant).append(1, '\0').append(metric);
  if (const auto kept = known(key)) return Series{device_key, kept->metric_id, kept->type};
  auto connection = patience.acquire(pool_);
  if (!connection.ok()) return connection.error();
  Params params;
  params.text(tenant).text_array(std::span<const std::string>(&metric, 1));
  const auto rows = exec(**connection, statements::kMetrics, params);
  if (!rows.ok()) return rows.error();
  if (rows->empty())
    return Error{ErrorKind::kNotFound, "there is no metric '" + metric + "' in tenant " + std::string(tenant)};
  const Known found{static_cast<std::int32_t>(rows->integer(0, 1)),
                    static_cast<storage_schema::MetricType>(rows->integer(0, 2)),
                    std::chrono::steady_clock::now() + kKept};
  if (found.type != storage_schema::MetricType::kUnknown) keep(key, found);
  return Series{device_key, found.metric_id, found.type};
}

Result<SamplePage> SeriesReader::samples(const Series& series, const Window& window, const Patience& patience) {
  auto connection = patience.acquire(pool_);
  if (!connection.ok()) return connection.error();
  Params params = window_params(series, window.from, window.to);
  params.integer(window.rows + 1).integer(kPageBytes);
  const auto rows = exec(**connection, statements::kSamples, params);
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

}  // namespace millrace::query_api
