#include <algorithm>

#include <millrace/storage_schema/statements.hpp>

#include "eventually.hpp"
#include "oracle_fixture.hpp"

namespace millrace::query_api {
namespace {

constexpr TimeUs kDay = 86'400 * kUsPerSecond;
constexpr std::array<const char*, 3> kDates{"2026-03-29", "2026-10-25", "2026-12-31"};

TimeUs day_of(TimeUs time) { return oracle::floor_to(time, kDay); }

}  // namespace

void Oracle::insert(std::int32_t key, TimeUs time, const oracle::Row& row) {
  postgres::CopyEncoder encoder;
  storage_schema::encode_sample(encoder, time, key, metric_id_, storage_schema::cell_of(row.value), row.untimed);
  encoder.finish();
  const auto copied = database_->copy_in(storage_schema::sql::kCopySamples, encoder.bytes());
  ASSERT_TRUE(copied.ok()) << copied.error().message;
}

void Oracle::store() {
  metric_id_ = metric("acme", metric_, model_.type);
  std::vector<std::pair<std::int32_t, oracle::SeriesRows::const_iterator>> rows;
  for (const auto& [key, series] : model_.devices) {
    for (auto row = series.begin(); row != series.end(); ++row) rows.emplace_back(key, row);
  }
  std::shuffle(rows.begin(), rows.end(), random_);
  postgres::CopyEncoder encoder;
  for (const auto& [key, row] : rows) {
    storage_schema::encode_sample(encoder, row->first, key, metric_id_, storage_schema::cell_of(row->second.value),
                                  row->second.untimed);
  }
  encoder.finish();
  const auto copied = database_->copy_in(storage_schema::sql::kCopySamples, encoder.bytes());
  ASSERT_TRUE(copied.ok()) << copied.error().message;
  set_latest();
}

void Oracle::set_latest() {
  sql("DELETE FROM storage.latest WHERE metric = " + std::to_string(metric_id_));
  for (const auto& [key, series] : model_.devices) {
    if (series.empty()) continue;
    const storage_schema::Cell cell = storage_schema::cell_of(series.rbegin()->second.value);
    postgres::Params params;
    params.integer(key).integer(metric_id_).timestamptz(series.rbegin()->first);
    const bool number = cell.kind == storage_schema::Kind::kNumber;
    if (number) {
      params.float8(cell.number).null().null();
    } else {
      params.null().integer(static_cast<std::int64_t>(cell.kind)).text(cell.other);
    }
    const auto put = database_->exec(
        "INSERT INTO storage.latest (device_id, metric, time, value, kind, other, max_time) VALUES ($1::int4, $2::int4,"
        " $3::timestamptz, $4::float8, $5::int2, $6, $3::timestamptz)",
        params);
    ASSERT_TRUE(put.ok()) << put.error().message;
  }
}

void Oracle::compact() {
  for (const char* date : kDates) {
    const std::string day = "date '" + std::string(date) + "'";
    const auto archived = database_->exec("SELECT 1 FROM storage.archive_file WHERE day = " + day);
    ASSERT_TRUE(archived.ok()) << archived.error().message;
    if (!archived->empty()) continue;
    const auto closed = database_->exec("SELECT 1 FROM storage.day WHERE day = " + day);
    ASSERT_TRUE(closed.ok()) << closed.error().message;
    if (!closed->empty()) {
      if (between(0, 2) > 0) sql("SELECT storage.repack_changed(" + day + ", " + std::to_string(between(1, 9)) + ")");
      continue;
    }
    sql("SELECT storage.close_day(" + day + ")");
    sql("SELECT storage.build_some(" + day + ", 1000000)");
    ASSERT_TRUE(testing::eventually([&] {
      const auto locked_us = database_->exec("SELECT storage.swap_day(" + day + ")");
      return locked_us && locked_us->integer(0, 0) >= 0;
    }));
  }
}

void Oracle::age(std::uint64_t number) {
  if (number % 2 == 0) return;
#ifdef PARQUET_WORKER
  if (number % 4 == 3) {
    days_->take_all();
    const auto days =
        database_->exec("SELECT storage.day_start(day) FROM storage.archive_file WHERE superseded_at IS NULL");
    ASSERT_TRUE(days.ok()) << days.error().message;
    for (int row = 0; row < days->size(); ++row) archived_.insert(days->timestamptz(row, 0));
    late_.clear();
    return;
  }
#endif
  compact();
}

bool Oracle::is_archived(TimeUs time) const { return archived_.contains(day_of(time)); }

void Oracle::store_late() {
  const int rows = between(0, 12);
  for (int i = 0; i < rows && !HasFatalFailure(); ++i) {
    const std::int32_t key = keys_.at(static_cast<std::size_t>(between(0, static_cast<int>(keys_.size()) - 1)));
    const auto& series = model_.devices[key];
    TimeUs time = oracle::random_time(random_);
    if (!series.empty() && between(0, 2) != 0) {
      time = std::next(series.begin(), between(0, static_cast<int>(series.size()) - 1))->first;
    }
    store_one_late(key, time, {oracle::random_value(random_, model_.type), between(0, 1) == 0});
  }
  if (!HasFatalFailure()) set_latest();
}

void Oracle::store_one_late(std::int32_t key, TimeUs time, const oracle::Row& row) {
  auto& series = model_.devices[key];
  // Where rows make room for each other once, no third one comes: the oracle stays plain.
  for (TimeUs near = time - 2; near <= time + 2; ++near) {
    if (late_.contains({key, near}) || (near != time && series.contains(near))) return;
  }
  if (day_of(time + 1) != day_of(time)) return;
  late_.insert({key, time});
  const auto before = series.find(time);
  if (before != series.end()) {
    if (before->second.value == row.value) return;
    return collide(key, time, row);
  }
  series[time] = row;
  insert(key, time, row);
}

/// Against another row of that time: a file keeps its row, and the answer must tell; in the database the writer does.
void Oracle::collide(std::int32_t key, TimeUs time, const oracle::Row& row) {
  auto& series = model_.devices[key];
  const oracle::Row before = series.at(time);
  const bool replaces = !row.untimed && !before.untimed;
  const bool makes_room = !row.untimed && before.untimed;
  series[row.untimed ? time + 1 : time] = row;
  if (makes_room) series[time + 1] = before;
  late_.insert({key, time + 1});
  if (is_archived(time)) return insert(key, time, row);
  if (row.untimed) return insert(key, time + 1, row);
  const std::string which = std::to_string(key) + ", " + std::to_string(metric_id_) + ", '" + format_rfc3339(time);
  sql("SELECT storage.reopen('{" + std::to_string(key) + "}', '{" + std::to_string(metric_id_) + "}', ARRAY['" +
      format_rfc3339(time) + "'::timestamptz])");
  const std::string where = " WHERE (device_id, metric, time) = (" + which + "'::timestamptz)";
  sql(replaces ? "DELETE FROM storage.sample" + where
               : "UPDATE storage.sample SET time = time + interval '1 microsecond'" + where);
  insert(key, time, row);
}

void Oracle::store_windows() {
  windows_.clear();
  for (const std::int32_t key : keys_) {
    for (int i = between(0, 12); i > 0; --i) {
      const std::int64_t size = between(0, 1) == 0 ? 60'000'000 : 3'600'000'000;
      const TimeUs start = oracle::floor_to(oracle::random_time(random_), size);
      const int revisions = between(1, 3);
      if (windows_[key].contains({start, size})) continue;
      for (int revision = 1; revision <= revisions; ++revision) {
        const StoredWindow window{revision, revision * 10, between(-99, 99) / 8.0, start + between(0, 59) * 1'000'000};
        windows_[key][{start, size}] = window;
        postgres::Params params;
        params.integer(key).integer(metric_id_).timestamptz(start).integer(size).integer(window.count);
        params.float8(window.last).timestamptz(window.last_time).integer(revision);
        const auto put = database_->exec(
            "INSERT INTO storage.window_result VALUES ($1::int4, $2::int4, $3::timestamptz, $4::int8, $5::int8,"
            " $6::float8 - 1, $6::float8 + 2, $6::float8 / 2, $6::float8, $7::timestamptz, $8::int4, $8::int4 > 1,"
            " $8::int4 = 3)",
            params);
        ASSERT_TRUE(put.ok()) << put.error().message;
      }
    }
  }
}

}  // namespace millrace::query_api
