#include "read/tiered_reader.hpp"

#include <algorithm>

#include "read/look_back.hpp"

namespace millrace::query_api {
namespace {

constexpr int kNumbersPage = 50'000;
/// Read at once of what lies before a page.
constexpr int kRowsBefore = 10'000;
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

Status OnePage::add(const SamplePage& hot, const ColdRows& cold) {
  whole_to_ = std::min(hot.next_from.value_or(window_.to), cold.to);
  std::vector<archive::OwnedRow> hot_rows;
  hot_rows.reserve(hot.samples.size());
  for (const Sample& sample : hot.samples) hot_rows.push_back(row_of(sample, series_));
  archive::VectorSource archived(cold.rows);
  archive::VectorSource later(hot_rows);
  const archive::RowKey end{series_.device_key, series_.metric_id, whole_to_};
  const Status merged = merge_.run(archived, later, end, [this](const archive::Row& row) { return add(row); });
  return full_ ? Status{} : merged;
}

Status OnePage::add(const archive::Row& row) {
  if (row.key.time < window_.from) return {};
  full_ = std::ssize(page_.samples) >= window_.rows || bytes_ >= SeriesReader::kPageBytes;
  if (full_) return Error{ErrorKind::kConflict, "the page is full"};  // what ends a merge
  auto sample = sample_of(row, series_);
  if (!sample.ok()) return sample.error();
  page_.samples.push_back(std::move(sample).value());
  bytes_ += kRowBytes + static_cast<std::int64_t>(row.other.size());
  return {};
}

SamplePage OnePage::take() {
  if (full_) {
    page_.next_from = page_.samples.back().time + 1;
  } else if (whole_to_ < window_.to) {
    page_.next_from = whole_to_;
  }
  if (page_.next_from) page_.since = merge_.since() ? merge_.since()->time : *page_.next_from;
  return std::move(page_);
}

Result<std::vector<std::string>> TieredReader::files(TimeUs from, TimeUs to, const Patience& patience) {
  auto connection = patience.acquire(pool_);
  if (!connection.ok()) return connection.error();
  return ColdReader::files(**connection, from, to);
}

Result<SamplePage> TieredReader::samples(const Series& series, const Window& window, const Patience& patience) {
  // Without it the loop below would wait for a part behind window.from.
  if (window.from >= window.to) return SamplePage{};
  OnePage page(series, window);
  std::optional<TimeUs> since = window.since;
  Window part{since.value_or(window.from), window.to, window.rows};
  for (;;) {
    part.rows = part.from < window.from ? std::max(window.rows, kRowsBefore) : window.rows;
    auto hot = hot_.samples(series, part, patience);
    if (!hot.ok()) return hot;
    const TimeUs to = hot->next_from.value_or(window.to);
    const auto archived = files(part.from, to, patience);
    if (!archived.ok()) return archived.error();
    if (archived->empty() && !since) return hot;
    if (!since) {
      // The first page: its rows are known, those before it that come to lie in it are not.
      since = part.from = look_back(window.from);
      continue;
    }
    const ColdRange range{.first_device = series.device_key,
                          .last_device = series.device_key,
                          .first_metric = series.metric_id,
                          .last_metric = series.metric_id,
                          .from = part.from,
                          .to = to,
                          .limit = part.rows + 1};
    const auto cold = cold_.series(*archived, range, SeriesReader::kPageBytes, patience);
    if (!cold.ok()) return cold.error();
    if (auto added = page.add(*hot, *cold); !added.ok()) return added.error();
    if (page.done()) return page.take();
    part.from = page.whole_to();
  }
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
    window.since = page->since;
  }
}

}  // namespace millrace::query_api
