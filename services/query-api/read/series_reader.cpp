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

/// What a row of a page counts beside its text.
constexpr std::int64_t kRowBytes = 32;
/// Enough for the digits of an integer, and for `false`.
constexpr std::int64_t kDigits = 24;

bool lacks_text(const postgres::Rows& rows, int row) { return !rows.is_null(row, 2) && rows.is_null(row, 3); }

/// The rows of a page of numbers or truths: their texts are short, and to count their bytes costs a quarter of the
/// statement. Nothing: one is longer, or so many rows could be too large.
Result<std::optional<postgres::Rows>> short_rows(postgres::Connection& connection, const Series& series,
                                                 const Window& window) {
  using storage_schema::MetricType;
  const std::int64_t longest = SeriesReader::kPageBytes / (window.rows + 1) - kRowBytes;
  if (series.type == MetricType::kText || series.type == MetricType::kJson || longest < kDigits)
    return std::optional<postgres::Rows>{};
  Params params = window_params(series, window.from, window.to);
  auto rows = exec(connection, statements::kShortSamples, params.integer(window.rows + 1).integer(longest));
  if (!rows.ok()) return rows.error();
  for (int row = 0; row < rows->size(); ++row) {
    if (lacks_text(*rows, row)) return std::optional<postgres::Rows>{};
  }
  return std::optional(std::move(rows).value());
}

/// `cut`: by its bytes.
Result<SamplePage> page_of(const postgres::Rows& rows, const Series& series, const Window& window, bool cut) {
  SamplePage page;
  const int given = std::min(rows.size(), window.rows);
  page.samples.reserve(static_cast<std::size_t>(given));
  for (int row = 0; row < given; ++row) {
    auto value = storage_schema::value_of(storage_schema::cell_at(rows, row, 1), series.type);
    if (!value.ok()) return value.error();
    page.samples.push_back(
        {rows.timestamptz(row, 0), std::move(value).value(), !rows.is_null(row, 4) && rows.boolean(row, 4)});
  }
  // A time occurs once in a series, so the next page starts just behind the last row.
  if (rows.size() > window.rows || cut) page.next_from = page.samples.back().time + 1;
  return page;
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
  auto rows = short_rows(**connection, series, window);
  if (!rows.ok()) return rows.error();
  if (*rows) return page_of(**rows, series, window, false);
  Params params = window_params(series, window.from, window.to);
  const auto counted = exec(**connection, statements::kSamples, params.integer(window.rows + 1).integer(kPageBytes));
  if (!counted.ok()) return counted.error();
  const bool cut = !counted->empty() && counted->integer(counted->size() - 1, 5) >= kPageBytes;
  return page_of(*counted, series, window, cut);
}

}  // namespace millrace::query_api
