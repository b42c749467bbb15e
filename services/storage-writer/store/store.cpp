#include "store/store.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <set>

#include <millrace/storage_schema/statements.hpp>

#include "store/key_columns.hpp"
#include "store/ledger.hpp"
#include "store/look_up.hpp"
#include "store/statements.hpp"

namespace millrace::writer {

using postgres::Params;
namespace sql = storage_schema::sql;

namespace {

// Cells as three parallel arrays.
struct CellColumns {
  std::vector<std::optional<double>> values;
  std::vector<std::optional<std::int16_t>> kinds;
  std::vector<std::optional<std::string>> others;
  void add(const Cell& cell) {
    const bool number = cell.kind == Kind::kNumber;
    values.push_back(number ? std::optional(cell.number) : std::nullopt);
    kinds.push_back(number ? std::nullopt : std::optional(static_cast<std::int16_t>(cell.kind)));
    others.push_back(number ? std::nullopt : std::optional(cell.other));
  }
  void append_to(Params& params) const {
    params.float8_array(std::span<const std::optional<double>>(values));
    params.int2_array(std::span<const std::optional<std::int16_t>>(kinds));
    params.text_array(std::span<const std::optional<std::string>>(others));
  }
};

// $1 devices, $2 metrics, $3 bound of the latest value.
constexpr const char* kSeriesStates =
    "SELECT k.i, g.time, l.time, l.value, l.kind, l.other FROM unnest($1::int4[], $2::int4[]) WITH ORDINALITY AS k(d, "
    "m, "
    "i)"
    " CROSS JOIN LATERAL (SELECT greatest("
    "(SELECT s.time FROM storage.sample s WHERE s.device_id = k.d AND s.metric = k.m ORDER BY s.time DESC LIMIT 1),"
    " (SELECT max(x.stop) FROM storage.segment x WHERE x.device_id = k.d AND x.metric = k.m)) AS time) g"
    " LEFT JOIN LATERAL (SELECT * FROM ("
    "(SELECT s.time, s.value, s.kind, s.other FROM storage.sample s WHERE s.device_id = k.d AND s.metric = k.m"
    " AND s.time <= $3::timestamptz ORDER BY s.time DESC LIMIT 1)"
    " UNION ALL (SELECT e.time, e.value, e.kind, e.other FROM storage.segment x CROSS JOIN LATERAL storage.expand(x) e"
    " WHERE x.device_id = k.d AND x.metric = k.m AND e.time <= $3::timestamptz AND x.day = (SELECT max(y.day) FROM "
    "storage.segment y WHERE y.device_id = k.d AND y.metric = k.m AND y.start <= $3::timestamptz)"
    " ORDER BY e.time DESC LIMIT 1)) n ORDER BY n.time DESC LIMIT 1) l ON true";

/// Calls `each` with parts of `items`, sorted by time. A statement is planned for every day between its first time and
/// its last and locks their tables: one over the thousands of days that a jumping clock makes would not end in time.
template <typename Item, typename TimeOf, typename Each>
Status by_stretches(std::vector<Item>& items, const TimeOf& time_of, const Each& each) {
  constexpr TimeUs kStretch = 64 * 86'400 * kUsPerSecond;
  std::sort(items.begin(), items.end(), [&](const Item& a, const Item& b) { return time_of(a) < time_of(b); });
  for (std::span<const Item> left(items); !left.empty();) {
    const TimeUs end = time_of(left.front()) + kStretch;
    const auto next = std::find_if(left.begin(), left.end(), [&](const Item& item) { return time_of(item) >= end; });
    const auto part = left.first(static_cast<std::size_t>(next - left.begin()));
    if (auto done = each(part); !done) return done;
    left = left.subspan(part.size());
  }
  return {};
}

Error changed_tier() {
  return {ErrorKind::kConflict, "a day was compacted between look-up and commit: the points are looked up again"};
}

}  // namespace

Status Store::connect() {
  if (connected()) return {};
  auto opened = postgres::Connection::open(options_);
  if (!opened) return opened.error();
  connection_ = std::move(*opened);
  return {};
}

postgres::ServerError Store::last_error() const {
  return connection_ ? connection_->last_error() : postgres::ServerError{};
}

Status Store::be_patient(std::chrono::milliseconds patience, std::function<bool()> void_now) {
  connection_->set_deadline(postgres::Clock::now() + patience);
  connection_->set_interrupt(std::move(void_now));
  return connection_->script("SET statement_timeout = " + std::to_string(patience.count()));
}

void Store::be_usual() {
  if (!connected()) return;
  connection_->set_deadline(std::nullopt);
  connection_->set_interrupt({});
  if (!connection_->script("RESET statement_timeout")) disconnect();
}

Result<std::map<std::int32_t, OffsetRow>> Store::offsets() {
  return storage_schema::read_offset_rows(*connection_, topic_);
}

Status Store::create_offset(std::int32_t partition, std::int64_t next_offset, std::string_view cluster_id) {
  return writer::create_offset(*connection_, topic_, partition, next_offset, cluster_id);
}

Result<std::int64_t> Store::default_partition_rows() {
  auto rows = connection_->exec("SELECT count(*) FROM (SELECT 1 FROM storage.sample_default LIMIT 1000) s");
  if (!rows) return rows.error();
  return rows->integer(0, 0);
}

Result<std::vector<std::optional<TimeUs>>> Store::max_times(std::span<const SeriesKey> series) {
  KeyColumns keys;
  for (const SeriesKey& key : series) keys.add(key);
  auto rows = connection_->exec(
      "SELECT k.i, l.max_time FROM unnest($1::int4[], $2::int4[]) WITH ORDINALITY AS k(d, m, i)"
      " JOIN storage.latest l ON l.device_id = k.d AND l.metric = k.m",
      Params{}.int4_array(keys.devices).int4_array(keys.metrics));
  if (!rows) return rows.error();
  std::vector<std::optional<TimeUs>> times(series.size());
  for (int i = 0; i < rows->size(); ++i)
    times[static_cast<std::size_t>(rows->integer(i, 0)) - 1] = rows->timestamptz(i, 1);
  return times;
}

Result<std::vector<StoredSample>> Store::find(std::span<const SampleKey> keys) {
  std::vector<StoredSample> found;
  std::vector<SampleKey> all(keys.begin(), keys.end());
  const auto done = by_stretches(
      all, [](const SampleKey& key) { return key.time; },
      [&](std::span<const SampleKey> some) { return find_stretch(some, found); });
  if (!done) return done.error();
  return found;
}

Status Store::find_stretch(std::span<const SampleKey> by_time, std::vector<StoredSample>& found) {
  auto some = find_samples(*connection_, by_time);
  if (!some) return some.error();
  std::move(some->begin(), some->end(), std::back_inserter(found));
  return {};
}

Result<std::vector<SeriesState>> Store::series_states(std::span<const SeriesKey> series, TimeUs latest_bound) {
  KeyColumns keys;
  for (const SeriesKey& key : series) keys.add(key);
  auto rows = connection_->exec(kSeriesStates,
                                Params{}.int4_array(keys.devices).int4_array(keys.metrics).timestamptz(latest_bound));
  if (!rows) return rows.error();
  std::vector<SeriesState> states;
  for (int i = 0; i < rows->size(); ++i) {
    SeriesState state;
    state.key = series[static_cast<std::size_t>(rows->integer(i, 0)) - 1];
    if (!rows->is_null(i, 1)) state.max_time = rows->timestamptz(i, 1);
    if (!rows->is_null(i, 2)) {
      state.latest_time = rows->timestamptz(i, 2);
      state.latest = storage_schema::cell_at(*rows, i, 3);
    }
    states.push_back(std::move(state));
  }
  return states;
}

Status Store::commit(const Transaction& work, std::optional<std::int32_t>& fenced) {
  auto transaction = postgres::Transaction::begin(*connection_);
  if (!transaction) return transaction.error();
  if (auto moved = move_offsets(*work.batch, fenced); !moved) return moved;
  for (const auto& [partition, slice] : work.batch->slices) {
    if (auto noted = note_dead(partition, slice); !noted) return noted;
    if (auto marked = mark_replayed(partition, slice, fenced); !marked) return marked;
  }
  if (auto noted = note_copies(*work.batch); !noted) return noted;
  if (auto noted = note_ledger(*work.batch, *work.changes); !noted) return noted;
  if (auto done = move(work.changes->moved); !done) return done;
  if (auto done = replace(work.changes->replaced); !done) return done;
  if (auto done = copy(work); !done) return done;
  return transaction->commit();
}

Status Store::move_offsets(const Batch& batch, std::optional<std::int32_t>& fenced) {
  std::vector<OffsetMove> moves;
  moves.reserve(batch.slices.size());
  for (const auto& [partition, slice] : batch.slices) {
    moves.push_back({.topic = topic_,
                     .partition = partition,
                     .generation = slice.generation,
                     .begin = slice.begin,
                     .end = slice.end,
                     .last = slice.last,
                     .log_time = slice.log_time});
  }
  const OffsetMove* conflict = nullptr;
  const Status moved = writer::move_offsets(*connection_, moves, conflict);
  if (conflict != nullptr) fenced = conflict->partition;
  return moved;
}

Status Store::note_copies(const Batch& batch) {
  std::vector<std::int32_t> parts;
  std::vector<std::int32_t> generations;
  std::vector<std::int64_t> offsets;
  std::vector<std::int64_t> originals;
  std::vector<std::int16_t> rules;
  for (const auto& [partition, slice] : batch.slices) {
    for (const DroppedCopy& one : slice.copies) {
      parts.push_back(partition);
      generations.push_back(slice.generation);
      offsets.push_back(one.offset);
      originals.push_back(one.original);
      rules.push_back(one.rule);
    }
  }
  if (parts.empty()) return {};
  auto done = connection_->exec(
      "INSERT INTO storage.dropped_copy (part, generation, log_offset, original_offset, rule)"
      " SELECT * FROM unnest($1::int4[], $2::int4[], $3::int8[], $4::int8[], $5::int2[])",
      Params{}
          .int4_array(parts)
          .int4_array(generations)
          .int8_array(offsets)
          .int8_array(originals)
          .int2_array(std::span<const std::int16_t>(rules)));
  return done ? Status{} : Status{done.error()};
}

Status Store::note_ledger(const Batch& batch, const Changes& changes) {
  std::vector<std::int32_t> parts;
  std::vector<std::int32_t> generations;
  std::vector<TimeUs> hours;
  std::array<std::vector<std::int64_t>, 9> numbers;
  for (const LedgerRow& row : ledger_of(batch, changes)) {
    parts.push_back(row.partition);
    generations.push_back(row.generation);
    hours.push_back(row.hour);
    const std::array all{row.first_offset, row.next_offset, row.records(), row.copies,     row.dead_records,
                         row.points,       row.inserted,    row.replaced,  row.dead_points};
    for (std::size_t i = 0; i < all.size(); ++i) numbers[i].push_back(all[i]);
  }
  Params params;
  params.int4_array(parts).int4_array(generations).timestamptz_array(hours);
  for (const auto& column : numbers) params.int8_array(column);
  auto done = connection_->exec(
      "INSERT INTO storage.ledger_hour AS l (part, generation, hour, first_offset, next_offset, records, copies,"
      " dead_records, points, inserted, replaced, dead_points)"
      " SELECT * FROM unnest($1::int4[], $2::int4[], $3::timestamptz[], $4::int8[], $5::int8[], $6::int8[], $7::int8[],"
      " $8::int8[], $9::int8[], $10::int8[], $11::int8[], $12::int8[])"
      " ON CONFLICT (hour, part, generation) DO UPDATE SET first_offset = least(l.first_offset, excluded.first_offset),"
      " next_offset = greatest(l.next_offset, excluded.next_offset), records = l.records + excluded.records,"
      " copies = l.copies + excluded.copies, dead_records = l.dead_records + excluded.dead_records,"
      " points = l.points + excluded.points, inserted = l.inserted + excluded.inserted,"
      " replaced = l.replaced + excluded.replaced, dead_points = l.dead_points + excluded.dead_points",
      params);
  return done ? Status{} : Status{done.error()};
}

Status Store::note_dead(std::int32_t partition, const Slice& slice) {
  for (const DeadLetter& dead : slice.dead) {
    auto done = connection_->exec(
        "INSERT INTO storage.dead_letter (part, generation, log_offset, points, reason, tenant, device, dead_part, "
        "dead_offset)"
        " VALUES ($1::int4, $2::int4, $3::int8, $4, $5, $6, $7, $8::int4, $9::int8)",
        Params{}
            .integer(partition)
            .integer(slice.generation)
            .integer(dead.offset)
            .int4_array(dead.points)
            .text(dead.reason)
            .text(dead.tenant)
            .text(dead.device)
            .integer(dead.dead_partition)
            .integer(dead.dead_offset));
    if (!done) return done.error();
  }
  return {};
}

Status Store::replace(std::span<const NewSample> replaced) {
  // The last value of a key only: an UPDATE from a list with a key twice takes any one.
  std::unordered_map<SampleKey, const NewSample*, SampleKeyHash> last;
  for (const NewSample& sample : replaced) last[sample.key] = &sample;
  std::vector<const NewSample*> all;
  for (const auto& [key, sample] : last) all.push_back(sample);
  return by_stretches(
      all, [](const NewSample* sample) { return sample->key.time; },
      [&](std::span<const NewSample* const> some) { return replace_stretch(some); });
}

Status Store::replace_stretch(std::span<const NewSample* const> by_time) {
  KeyColumns keys;
  CellColumns cells;
  for (const NewSample* sample : by_time) {
    keys.add(sample->key);
    cells.add(sample->cell);
  }
  Params params;
  params.int4_array(keys.devices).int4_array(keys.metrics).timestamptz_array(keys.times);
  cells.append_to(params);
  if (auto opened = reopen(keys); !opened) return opened;
  auto done = connection_->exec(
      "UPDATE storage.sample s SET value = k.v, kind = k.k, other = k.o"
      " FROM unnest($1::int4[], $2::int4[], $3::timestamptz[], $4::float8[], $5::int2[], $6::text[]) AS k(d, m, t, v, "
      "k, o)"
      " WHERE s.device_id = k.d AND s.metric = k.m AND s.time = k.t AND s.time >= $7::timestamptz"
      " AND s.time <= $8::timestamptz",
      params.timestamptz(keys.times.front()).timestamptz(keys.times.back()));
  if (!done) return done.error();
  if (done->affected() != std::ssize(by_time)) return changed_tier();
  return {};
}

Status Store::move(std::span<const MovedSample> moved) {
  if (moved.empty()) return {};
  KeyColumns keys;
  for (const MovedSample& one : moved) keys.add(one.from);
  if (auto opened = reopen(keys); !opened) return opened;
  for (const MovedSample& one : moved) {
    auto done = connection_->exec(
        "UPDATE storage.sample SET time = $4::timestamptz WHERE device_id = $1::int4 AND metric = $2::int4"
        " AND time = $3::timestamptz AND untimed",
        Params{}
            .integer(one.from.series.device)
            .integer(one.from.series.metric)
            .timestamptz(one.from.time)
            .timestamptz(one.to));
    if (!done) return done.error();
    if (done->affected() != 1) return changed_tier();
  }
  return {};
}

// What is compacted becomes rows again, which the statements behind this one change.
Status Store::reopen(const KeyColumns& keys) {
  auto done =
      connection_->exec("SELECT storage.reopen($1::int4[], $2::int4[], $3::timestamptz[])",
                        Params{}.int4_array(keys.devices).int4_array(keys.metrics).timestamptz_array(keys.times));
  return done ? Status{} : Status{done.error()};
}

Status Store::copy(const Transaction& work) {
  if (work.order.empty()) return {};
  encoder_.clear();
  for (const std::size_t at : work.order) {
    const NewSample& sample = work.changes->inserts[at];
    storage_schema::encode_sample(encoder_, sample.key.time, sample.key.series.device, sample.key.series.metric,
                                  sample.cell, sample.untimed);
  }
  encoder_.finish();
  auto copied = connection_->copy_in(sql::kCopySamples, encoder_.bytes());
  return copied ? Status{} : Status{copied.error()};
}

Status Store::move_latest_offsets(const LatestMoves& offsets, std::optional<std::int32_t>& fenced) {
  if (offsets.empty()) return {};
  std::vector<std::int32_t> parts;
  std::vector<std::int64_t> begins;
  std::vector<std::int64_t> ends;
  for (const auto& [partition, move] : offsets) {
    parts.push_back(partition);
    begins.push_back(move.first);
    ends.push_back(move.second);
  }
  auto moved = connection_->exec(
      "UPDATE storage.ingest_offset o SET latest_offset = m.stop FROM unnest($2::int4[], $3::int8[], $4::int8[])"
      " AS m(part, start, stop) WHERE o.topic = $1 AND o.part = m.part AND o.latest_offset = m.start"
      " AND o.next_offset >= m.stop RETURNING o.part",
      Params{}.text(topic_).int4_array(parts).int8_array(begins).int8_array(ends));
  if (!moved) return moved.error();
  std::set<std::int32_t> left(parts.begin(), parts.end());
  for (int row = 0; row < moved->size(); ++row) left.erase(static_cast<std::int32_t>(moved->integer(row, 0)));
  if (left.empty()) return {};
  fenced = *left.begin();
  return Error{ErrorKind::kConflict, "another writer owns partition " + std::to_string(*fenced)};
}

Status Store::flush_latest(std::span<const PendingLatest> pending, const LatestMoves& offsets,
                           std::optional<std::int32_t>& fenced) {
  auto transaction = postgres::Transaction::begin(*connection_);
  if (!transaction) return transaction.error();
  if (auto moved = move_latest_offsets(offsets, fenced); !moved) return moved;
  if (!pending.empty()) {
    KeyColumns keys;
    CellColumns cells;
    std::vector<TimeUs> max_times;
    std::vector<std::int16_t> has_time;
    for (const PendingLatest& one : pending) {
      keys.add(SampleKey{one.key, one.time.value_or(0)});
      has_time.push_back(one.time ? 1 : 0);
      cells.add(one.cell);
      max_times.push_back(one.max_time);
    }
    Params params;
    params.int4_array(keys.devices).int4_array(keys.metrics).timestamptz_array(keys.times);
    cells.append_to(params);
    params.int2_array(std::span<const std::int16_t>(has_time)).timestamptz_array(max_times);
    auto done = connection_->exec(
        "INSERT INTO storage.latest AS l (device_id, metric, time, value, kind, other, max_time)"
        " SELECT d, m, CASE WHEN h = 1 THEN t END, CASE WHEN h = 1 THEN v END, CASE WHEN h = 1 THEN k END, CASE WHEN h "
        "= 1 THEN o END, x"
        " FROM unnest($1::int4[], $2::int4[], $3::timestamptz[], $4::float8[], $5::int2[], $6::text[], $7::int2[], "
        "$8::timestamptz[])"
        " AS p(d, m, t, v, k, o, h, x)"
        " ON CONFLICT (device_id, metric) DO UPDATE SET"
        " value = CASE WHEN excluded.time >= coalesce(l.time, '-infinity') THEN excluded.value ELSE l.value END,"
        " kind = CASE WHEN excluded.time >= coalesce(l.time, '-infinity') THEN excluded.kind ELSE l.kind END,"
        " other = CASE WHEN excluded.time >= coalesce(l.time, '-infinity') THEN excluded.other ELSE l.other END,"
        " time = greatest(l.time, excluded.time), max_time = greatest(l.max_time, excluded.max_time)",
        params);
    if (!done) return done.error();
  }
  return transaction->commit();
}

Result<std::vector<std::size_t>> Store::refused_replacements(std::span<const NewSample> replaced) {
  std::vector<std::size_t> refused;
  for (std::size_t i = 0; i < replaced.size(); ++i) {
    auto transaction = postgres::Transaction::begin(*connection_);
    if (!transaction) return transaction.error();
    if (auto done = replace(replaced.subspan(i, 1)); !done) {
      if (postgres::disposition_of(connection_->last_error().sqlstate) != postgres::Disposition::kPoison)
        return done.error();
      refused.push_back(i);
    }
  }
  return refused;
}

}  // namespace millrace::writer
