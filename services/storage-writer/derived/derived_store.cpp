#include "derived/derived_store.hpp"

#include <algorithm>
#include <set>
#include <tuple>

#include <millrace/base/digest.hpp>

#include "store/statements.hpp"

namespace millrace::writer {

using postgres::Params;

namespace {

/// Metric ids in memory at most; beyond, all are forgotten and asked for again.
constexpr std::size_t kMostIds = 1'000'000;

/// The first of equal keys stays, whether it is in the table or in the list.
constexpr const char* kPutWindows =
    "INSERT INTO storage.window_result (device_id, metric, start, size_us, count, min, max, mean, last, last_time,"
    " revision, final, approximate)"
    " SELECT d, m, s, z, c, n, x, a, l, t, r, f <> 0, p <> 0 FROM unnest($1::int4[], $2::int4[], $3::timestamptz[],"
    " $4::int8[], $5::int8[], $6::float8[], $7::float8[], $8::float8[], $9::float8[], $10::timestamptz[], $11::int4[],"
    " $12::int2[], $13::int2[]) AS w(d, m, s, z, c, n, x, a, l, t, r, f, p) ON CONFLICT DO NOTHING";

constexpr const char* kPutAlerts =
    "INSERT INTO storage.alert (alert_key, event_number, alert_id, tenant, rule, device, metric, state, severity,"
    " raised_at, cleared_at, description, event)"
    " SELECT k, n, i, t, r, d, m, s, v, a, CASE WHEN s = 2 THEN c END, x, decode(e, 'base64') FROM unnest($1::text[],"
    " $2::int8[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::int2[], $9::int2[],"
    " $10::timestamptz[], $11::timestamptz[], $12::text[], $13::text[])"
    " AS w(k, n, i, t, r, d, m, s, v, a, c, x, e) ON CONFLICT DO NOTHING";

/// By what is there, not by what came last: records that are read again may come in any order.
constexpr const char* kMarkSuperseded =
    "UPDATE storage.alert a SET superseded = true WHERE NOT superseded AND alert_id = ANY($1::text[])"
    " AND EXISTS (SELECT 1 FROM storage.alert n WHERE n.alert_id = a.alert_id AND n.alert_key = a.alert_key"
    " AND n.event_number > a.event_number)";

std::string name_key(const WindowRow& row) { return row.tenant + '\0' + row.metric; }

template <typename Row>
std::vector<const Row*> pointers(const std::vector<Row>& rows) {
  std::vector<const Row*> all;
  all.reserve(rows.size());
  for (const Row& row : rows) all.push_back(&row);
  return all;
}

}  // namespace

Status DerivedStore::connect() {
  if (connected()) return {};
  auto opened = postgres::Connection::open(options_);
  if (!opened) return opened.error();
  connection_ = std::move(*opened);
  return days_.learn(*connection_);
}

postgres::ServerError DerivedStore::last_error() const {
  return connection_ ? connection_->last_error() : postgres::ServerError{};
}

Result<std::map<std::int32_t, OffsetRow>> DerivedStore::offsets(std::string_view topic) {
  return storage_schema::read_offset_rows(*connection_, topic);
}

Status DerivedStore::create_offset(const kafka::TopicPartition& where, std::int64_t next_offset,
                                   std::string_view cluster_id) {
  return writer::create_offset(*connection_, where.topic, where.partition, next_offset, cluster_id);
}

Status DerivedStore::restart_offset(const kafka::TopicPartition& where, const OffsetRow& row, std::int64_t next_offset,
                                    std::string_view cluster_id) {
  auto moved = connection_->exec(
      "UPDATE storage.ingest_offset SET generation = generation + 1, next_offset = $5::int8, latest_offset = $5::int8,"
      " cluster_id = $6, updated_at = now()"
      " WHERE topic = $1 AND part = $2::int4 AND generation = $3::int4 AND next_offset = $4::int8",
      Params{}
          .text(where.topic)
          .integer(where.partition)
          .integer(row.generation)
          .integer(row.next_offset)
          .integer(next_offset)
          .text(cluster_id));
  if (!moved) return moved.error();
  if (moved->affected() == 1) return {};
  return Error{ErrorKind::kConflict, "another writer moved the offset"};
}

Status DerivedStore::prepare(const DerivedBatch& batch) {
  if (ids_.size() > kMostIds) ids_.clear();
  std::map<std::string, MetricName> missing;
  std::set<std::int32_t> days;
  for (const WindowRow& row : batch.windows) {
    days.insert(day_of(row.start));
    std::string key = name_key(row);
    if (!ids_.contains(key)) missing[std::move(key)] = {row.tenant, row.metric, MetricType::kUnknown};
  }
  if (!missing.empty()) {
    std::vector<MetricName> names;
    for (const auto& [key, name] : missing) names.push_back(name);
    const auto ids = metric_ids(*connection_, names);
    if (!ids) return ids.error();
    std::size_t at = 0;
    for (const auto& [key, name] : missing) ids_[key] = (*ids)[at++];
  }
  return days_.ensure(*connection_, days);
}

std::int32_t DerivedStore::metric_id(const WindowRow& row) const { return ids_.at(name_key(row)); }

Result<DerivedCounts> DerivedStore::commit(const DerivedBatch& batch, std::optional<kafka::TopicPartition>& fenced) {
  auto transaction = postgres::Transaction::begin(*connection_);
  if (!transaction) return transaction.error();
  std::vector<OffsetMove> moves;
  for (const auto& [where, slice] : batch.slices) {
    moves.push_back({.topic = where.topic,
                     .partition = where.partition,
                     .generation = slice.generation,
                     .begin = slice.begin,
                     .end = slice.end});
  }
  const OffsetMove* conflict = nullptr;
  if (auto moved = move_offsets(*connection_, moves, conflict); !moved) {
    if (conflict != nullptr) fenced = kafka::TopicPartition{std::string(conflict->topic), conflict->partition};
    return moved.error();
  }
  DerivedCounts counts;
  const auto windows = put_windows(pointers(batch.windows));
  if (!windows) return windows.error();
  counts.windows = *windows;
  const auto alerts = put_alerts(batch, pointers(batch.alerts));
  if (!alerts) return alerts.error();
  counts.alerts = *alerts;
  if (auto done = transaction->commit(); !done) return done.error();
  return counts;
}

Result<std::int64_t> DerivedStore::put_windows(const std::vector<const WindowRow*>& rows) {
  if (rows.empty()) return std::int64_t{0};
  struct Keyed {
    std::int32_t metric;
    const WindowRow* row;
    std::size_t place;
  };
  std::vector<Keyed> order;
  for (const WindowRow* row : rows) order.push_back({metric_id(*row), row, order.size()});
  // As the index is sorted; the first of equal keys stays the first.
  std::sort(order.begin(), order.end(), [](const Keyed& a, const Keyed& b) {
    return std::tuple(a.row->device, a.metric, a.row->start, a.place) <
           std::tuple(b.row->device, b.metric, b.row->start, b.place);
  });
  std::vector<std::int32_t> devices, metrics, revisions;
  std::vector<TimeUs> starts, last_times;
  std::vector<std::int64_t> sizes, counts;
  std::vector<double> mins, maxs, means, lasts;
  std::vector<std::int16_t> finals, approximates;
  for (const auto& [metric, row, place] : order) {
    devices.push_back(row->device);
    metrics.push_back(metric);
    starts.push_back(row->start);
    sizes.push_back(row->size_us);
    counts.push_back(row->count);
    mins.push_back(row->min);
    maxs.push_back(row->max);
    means.push_back(row->mean);
    lasts.push_back(row->last);
    last_times.push_back(row->last_time);
    revisions.push_back(row->revision);
    finals.push_back(row->is_final ? 1 : 0);
    approximates.push_back(row->approximate ? 1 : 0);
  }
  Params params;
  params.int4_array(devices).int4_array(metrics).timestamptz_array(starts).int8_array(sizes).int8_array(counts);
  for (const auto* values : {&mins, &maxs, &means, &lasts}) params.float8_array(std::span<const double>(*values));
  params.timestamptz_array(last_times).int4_array(revisions);
  params.int2_array(std::span<const std::int16_t>(finals)).int2_array(std::span<const std::int16_t>(approximates));
  const auto done = connection_->exec(kPutWindows, params);
  if (!done) return done.error();
  return done->affected();
}

Result<std::int64_t> DerivedStore::put_alerts(const DerivedBatch& batch, const std::vector<const AlertRow*>& rows) {
  if (rows.empty()) return std::int64_t{0};
  std::vector<std::string> keys, ids, tenants, rules, devices, metrics, descriptions, events;
  std::vector<std::int64_t> numbers;
  std::vector<std::int16_t> states, severities;
  std::vector<TimeUs> raised, cleared;
  for (const AlertRow* row : rows) {
    keys.push_back(row->alert_key);
    numbers.push_back(row->event_number);
    ids.push_back(row->alert_id);
    tenants.push_back(row->tenant);
    rules.push_back(row->rule);
    devices.push_back(row->device);
    metrics.push_back(row->metric);
    states.push_back(row->state);
    severities.push_back(row->severity);
    raised.push_back(row->raised_at);
    cleared.push_back(row->cleared_at.value_or(0));
    descriptions.push_back(row->description);
    events.push_back(to_base64(batch.records[row->source].value()));
  }
  Params params;
  params.text_array(std::span<const std::string>(keys)).int8_array(numbers);
  for (const auto* texts : {&ids, &tenants, &rules, &devices, &metrics}) {
    params.text_array(std::span<const std::string>(*texts));
  }
  params.int2_array(std::span<const std::int16_t>(states)).int2_array(std::span<const std::int16_t>(severities));
  params.timestamptz_array(raised).timestamptz_array(cleared);
  params.text_array(std::span<const std::string>(descriptions)).text_array(std::span<const std::string>(events));
  const auto done = connection_->exec(kPutAlerts, params);
  if (!done) return done.error();
  if (auto marked = mark_superseded(rows); !marked) return marked.error();
  return done->affected();
}

Status DerivedStore::mark_superseded(const std::vector<const AlertRow*>& rows) {
  std::set<std::string> episodes;
  for (const AlertRow* row : rows) episodes.insert(row->alert_id);
  const std::vector<std::string> ids(episodes.begin(), episodes.end());
  const auto done = connection_->exec(kMarkSuperseded, Params{}.text_array(std::span<const std::string>(ids)));
  return done ? Status{} : Status{done.error()};
}

Result<std::vector<std::size_t>> DerivedStore::refused(const DerivedBatch& batch) {
  std::vector<std::size_t> found;
  const auto try_one = [&](std::size_t source, const auto& put) -> Status {
    auto transaction = postgres::Transaction::begin(*connection_);
    if (!transaction) return transaction.error();
    const auto done = put();
    if (done) return {};
    if (postgres::disposition_of(last_error().sqlstate) != postgres::Disposition::kPoison) return done.error();
    found.push_back(source);
    return {};
  };
  for (const WindowRow& row : batch.windows) {
    if (auto tried = try_one(row.source, [&] { return put_windows({&row}); }); !tried) return tried.error();
  }
  for (const AlertRow& row : batch.alerts) {
    if (auto tried = try_one(row.source, [&] { return put_alerts(batch, {&row}); }); !tried) return tried.error();
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace millrace::writer
