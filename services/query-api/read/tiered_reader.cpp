#include "read/tiered_reader.hpp"

#include <algorithm>

namespace millrace::query_api {
namespace {

constexpr int kNumbersPage = 50'000;
constexpr std::int64_t kRowBytes = 32;  // as SeriesReader counts them

archive::OwnedRow row_of(const Sample& sample, const Series& series) {
  const storage_schema::Cell cell = storage_schema::cell_of(sample.value);
  archive::Row row;
  row.key = {series.device_key, series.metric_id, sample.time};
  row.kind = static_cast<std::uint8_t>(cell.kind);
  row.untimed = sample.untimed;
  row.number = cell.number;
  row.other = cell.other;
  return archive::OwnedRow(row);
}

Result<Sample> sample_of(const archive::Row& row, const Series& series) {
  storage_schema::Cell cell{static_cast<storage_schema::Kind>(row.kind), row.number, std::string(row.other)};
  auto value = storage_schema::value_of(cell, series.type);
  if (!value.ok()) return value.error();
  return Sample{row.key.time, std::move(value).value(), row.untimed};
}

}  // namespace

Result<SamplePage> one_page(const SamplePage& hot, const ColdRows& cold, const Series& series, const Window& window) {
  const TimeUs whole_to = std::min(hot.next_from.value_or(window.to), cold.to);
  std::vector<archive::OwnedRow> hot_rows;
  hot_rows.reserve(hot.samples.size());
  for (const Sample& sample : hot.samples) hot_rows.push_back(row_of(sample, series));
  archive::VectorSource archived(cold.rows);
  archive::VectorSource later(hot_rows);
  SamplePage page;
  std::int64_t bytes = 0;
  bool cut = false;
  const Status merged = archive::merge(archived, later, [&](const archive::Row& row) -> Status {
    if (cut || row.key.time >= whole_to) return {};
    if (std::ssize(page.samples) >= window.rows || bytes >= SeriesReader::kPageBytes) {
      cut = true;
      return {};
    }
    auto sample = sample_of(row, series);
    if (!sample.ok()) return sample.error();
    page.samples.push_back(std::move(sample).value());
    bytes += kRowBytes + static_cast<std::int64_t>(row.other.size());
    return {};
  });
  if (!merged.ok()) return merged.error();
  if (cut) {
    page.next_from = page.samples.back().time + 1;
  } else if (whole_to < window.to) {
    page.next_from = whole_to;
  }
  return page;
}

Result<std::vector<std::string>> TieredReader::files(TimeUs from, TimeUs to, const Patience& patience) {
  auto connection = patience.acquire(pool_);
  if (!connection.ok()) return connection.error();
  return ColdReader::files(**connection, from, to);
}

Result<SamplePage> TieredReader::samples(const Series& series, const Window& window, const Patience& patience) {
  auto hot = hot_.samples(series, window, patience);
  if (!hot.ok()) return hot;
  const TimeUs to = hot->next_from.value_or(window.to);
  const auto archived = files(window.from, to, patience);
  if (!archived.ok()) return archived.error();
  if (archived->empty()) return hot;
  const ColdRange range{.first_device = series.device_key,
                        .last_device = series.device_key,
                        .first_metric = series.metric_id,
                        .last_metric = series.metric_id,
                        .from = window.from,
                        .to = to,
                        .limit = window.rows + 1};
  const auto cold = cold_.series(*archived, range, SeriesReader::kPageBytes, patience);
  if (!cold.ok()) return cold.error();
  return one_page(*hot, *cold, series, window);
}

Result<bool> TieredReader::reaches_archive(TimeUs from, TimeUs to, const Patience& patience) {
  const auto archived = files(from, to, patience);
  if (!archived.ok()) return archived.error();
  return !archived->empty();
}

Status TieredReader::numbers(const Series& series, TimeUs from, TimeUs to, const Patience& patience,
                             const std::function<bool(const Number&)>& each) {
  Window window{from, to, kNumbersPage};
  for (;;) {
    const auto page = samples(series, window, patience);
    if (!page.ok()) return page.error();
    for (const Sample& sample : page->samples) {
      Number number{.time = sample.time, .untimed = sample.untimed};
      if (const auto* real = std::get_if<double>(&sample.value)) {
        number.value = *real;
      } else if (const auto* whole = std::get_if<std::int64_t>(&sample.value)) {
        number.whole = *whole;
        number.is_whole = true;
        number.value = static_cast<double>(*whole);
      } else {
        continue;
      }
      if (!each(number)) return {};
    }
    if (!page->next_from) return {};
    window.from = *page->next_from;
  }
}

}  // namespace millrace::query_api
