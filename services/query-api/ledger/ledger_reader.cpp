#include "ledger/ledger_reader.hpp"

#include <algorithm>
#include <set>

#include <millrace/storage_schema/log_position.hpp>
#include <millrace/telemetry/batch.hpp>

namespace millrace::query_api {
namespace {

using postgres::Params;
using std::chrono::milliseconds;

constexpr TimeUs kHour = 3'600 * kUsPerSecond;

/// $1 from, $2 to, $3 topic, $4 to $6 hour, partition and generation of the last one given, $7 limit.
constexpr const char* kHours =
    "WITH a AS (SELECT hour, part, generation, sum(records)::int8 AS acknowledged FROM storage.ledger_acknowledged"
    " WHERE hour >= $1::timestamptz AND hour < $2::timestamptz GROUP BY 1, 2, 3),"
    " l AS (SELECT * FROM storage.ledger_hour WHERE hour >= $1::timestamptz AND hour < $2::timestamptz)"
    " SELECT hour, part, generation, coalesce(a.acknowledged, 0), l.first_offset, coalesce(l.records, 0),"
    " coalesce(l.copies, 0), coalesce(l.dead_records, 0), coalesce(l.points, 0), coalesce(l.inserted, 0),"
    " coalesce(l.replaced, 0), coalesce(l.dead_points, 0), coalesce(o.now, 0), coalesce(o.next_offset, 0)"
    " FROM a FULL JOIN l USING (hour, part, generation)"
    " LEFT JOIN (SELECT part, generation AS now, next_offset FROM storage.ingest_offset WHERE topic = $3) o USING "
    "(part)"
    " WHERE (hour, part, generation) > ($4::timestamptz, $5::int4, $6::int4) ORDER BY hour, part, generation"
    " LIMIT $7::int8";

HourFacts facts_at(const postgres::Rows& rows, int row) {
  HourFacts facts;
  facts.hour = rows.timestamptz(row, 0);
  facts.partition = static_cast<std::int32_t>(rows.integer(row, 1));
  facts.generation = static_cast<std::int32_t>(rows.integer(row, 2));
  facts.acknowledged = rows.integer(row, 3);
  if (!rows.is_null(row, 4)) facts.first_offset = rows.integer(row, 4);
  facts.records = rows.integer(row, 5);
  facts.copies = rows.integer(row, 6);
  facts.dead_records = rows.integer(row, 7);
  facts.points = rows.integer(row, 8);
  facts.inserted = rows.integer(row, 9);
  facts.replaced = rows.integer(row, 10);
  facts.dead_points = rows.integer(row, 11);
  facts.current_generation = static_cast<std::int32_t>(rows.integer(row, 12));
  facts.next_offset = rows.integer(row, 13);
  return facts;
}

std::int64_t or_end(std::int64_t offset, const kafka::Watermarks& log) {
  return offset == kafka::kOffsetEnd ? log.high : offset;
}

}  // namespace

Result<LedgerPage> LedgerReader::hours(TimeUs from, TimeUs to, const LedgerPosition& after, int limit,
                                       SteadyTime deadline) {
  LedgerPage page;
  Generations generations;
  {
    auto connection = pool_.acquire(deadline);
    if (!connection.ok()) return connection.error();
    const auto offsets = storage_schema::read_offset_rows(**connection, topic_);
    if (!offsets.ok()) return offsets.error();
    for (const auto& [partition, row] : *offsets) generations[partition] = row.generation_from;
    Params params;
    params.timestamptz(from).timestamptz(to).text(topic_).timestamptz(std::max(after.hour, from));
    params.integer(after.partition).integer(after.generation).integer(limit + 1);
    const auto rows = (*connection)->exec(kHours, params);
    if (!rows.ok()) return rows.error();
    const int given = std::min(rows->size(), limit);
    for (int row = 0; row < given; ++row) page.hours.emplace_back(facts_at(*rows, row), HourAccount{});
    if (rows->size() > given) {
      const HourFacts& last = page.hours.back().first;
      page.next = LedgerPosition{last.hour, last.partition, last.generation};
    }
  }
  if (auto asked = ask_log(page.hours, generations, deadline); !asked.ok()) return asked.error();
  return page;
}

Result<std::vector<RefusedHour>> LedgerReader::refused(TimeUs from, TimeUs to, SteadyTime deadline) {
  auto connection = pool_.acquire(deadline);
  if (!connection.ok()) return connection.error();
  const auto rows = (*connection)
                        ->exec(
                            "SELECT hour, sum(records)::int8 FROM storage.ledger_refused"
                            " WHERE hour >= $1::timestamptz AND hour < $2::timestamptz GROUP BY hour ORDER BY hour",
                            Params{}.timestamptz(from).timestamptz(to));
  if (!rows.ok()) return rows.error();
  std::vector<RefusedHour> hours;
  for (int row = 0; row < rows->size(); ++row) hours.push_back({rows->timestamptz(row, 0), rows->integer(row, 1)});
  return hours;
}

// After the database, so that what the writer has accounted for is in what the log says.
Status LedgerReader::ask_log(std::vector<std::pair<HourFacts, HourAccount>>& hours, const Generations& generations,
                             SteadyTime deadline) {
  if (hours.empty()) return {};
  auto consumer = log_.lend(deadline);
  if (!consumer.ok()) return consumer.error();
  std::set<TimeUs> bounds;
  std::set<std::int32_t> numbers;
  for (const auto& [facts, account] : hours) {
    bounds.insert({facts.hour, facts.hour + kHour});
    numbers.insert(facts.partition);
  }
  std::vector<kafka::TopicPartition> partitions;
  std::map<std::int32_t, kafka::Watermarks> logs;
  for (const std::int32_t number : numbers) {
    partitions.push_back({topic_, number});
    const auto log = (*consumer)->watermarks(partitions.back(), time_left(deadline));
    if (!log.ok()) return log.error();
    logs[number] = *log;
  }
  std::map<std::pair<TimeUs, std::int32_t>, std::int64_t> offsets;
  for (const TimeUs bound : bounds) {
    const auto found = (*consumer)->offsets_at(partitions, bound, time_left(deadline));
    if (!found.ok()) return found.error();
    for (const kafka::Position& one : *found) offsets[{bound, one.where.partition}] = one.offset;
  }
  for (auto& [facts, sums] : hours) {
    const kafka::Watermarks& log = logs[facts.partition];
    const auto generation = generations.find(facts.partition);
    const std::int64_t from = generation == generations.end() ? 0 : generation->second;
    const std::int64_t begin = or_end(offsets[{facts.hour, facts.partition}], log);
    const std::int64_t end = or_end(offsets[{facts.hour + kHour, facts.partition}], log);
    sums = account(facts, {std::max(begin, from), end, log.low});
  }
  return {};
}

Result<DeviceLedger> LedgerReader::device(std::int32_t partition, const std::string& key, TimeUs from, TimeUs to,
                                          SteadyTime deadline) {
  DeviceLedger ledger;
  ledger.partition = partition;
  const auto found = scan(key, from, to, ledger, deadline);
  if (!found.ok()) return found.error();
  ledger.in_log = static_cast<std::int64_t>(found->size());
  if (auto settled = settle(*found, ledger, deadline); !settled.ok()) return settled.error();
  return ledger;
}

Result<std::vector<LedgerReader::Found>> LedgerReader::scan(const std::string& key, TimeUs from, TimeUs to,
                                                            DeviceLedger& ledger, SteadyTime deadline) {
  auto consumer = log_.lend(deadline);
  if (!consumer.ok()) return consumer.error();
  kafka::Consumer& reader = **consumer;
  const kafka::TopicPartition where{topic_, ledger.partition};
  const auto log = reader.watermarks(where, time_left(deadline));
  if (!log.ok()) return log.error();
  const auto begin = reader.offsets_at({&where, 1}, from, time_left(deadline));
  if (!begin.ok()) return begin.error();
  const auto end = reader.offsets_at({&where, 1}, to, time_left(deadline));
  if (!end.ok()) return end.error();
  std::int64_t next = or_end(begin->at(0).offset, *log);
  const std::int64_t stop = or_end(end->at(0).offset, *log);
  std::vector<Found> found;
  if (next >= stop) return found;
  const kafka::Position start{where, next};
  if (const Status assigned = reader.assign({&start, 1}); !assigned.ok()) return assigned.error();
  // The end of the time is for the questions to the database.
  const auto read_until = std::chrono::steady_clock::now() + (deadline - std::chrono::steady_clock::now()) * 3 / 4;
  telemetry::BatchCodec codec;
  telemetry::Batch batch;
  std::int64_t scanned = 0;
  while (next < stop) {
    const kafka::Polled polled = reader.poll(time_left(deadline, milliseconds{200}));
    const bool late = std::chrono::steady_clock::now() >= read_until;
    if (polled.kind == kafka::Polled::Kind::kFault && polled.fault != kafka::Fault::kTransient)
      return Error{ErrorKind::kUnavailable, "the log cannot be read: " + polled.message};
    if (polled.kind == kafka::Polled::Kind::kRecord) {
      const kafka::Record& record = polled.record;
      if (scanned++ == 0 && record.offset() == log->low && log->low > 0) ledger.log_begins = record.timestamp_us();
      if (late || scanned > kMostScanned) {
        ledger.continue_from = record.timestamp_us();
        return found;
      }
      next = record.offset() + 1;
      if (record.key() != key) continue;
      const bool readable = codec.decode(record.value(), batch).ok();
      found.push_back({record.offset(), readable ? static_cast<std::int64_t>(batch.points.size()) : 0});
    } else if (late) {
      return Error{ErrorKind::kUnavailable, "Kafka does not answer in time; try again later"};
    }
  }
  return found;
}

Status LedgerReader::settle(const std::vector<Found>& found, DeviceLedger& ledger, SteadyTime deadline) {
  auto connection = pool_.acquire(deadline);
  if (!connection.ok()) return connection.error();
  postgres::Connection& database = **connection;
  const auto offsets = storage_schema::read_offset_rows(database, topic_);
  if (!offsets.ok()) return offsets.error();
  const auto row = offsets->find(ledger.partition);
  const std::int64_t next_offset = row == offsets->end() ? 0 : row->second.next_offset;
  std::vector<std::int64_t> numbers;
  for (const Found& one : found) numbers.push_back(one.offset);
  const auto ask = [&](const char* statement) {
    Params params;
    params.integer(ledger.partition).integer(row == offsets->end() ? 0 : row->second.generation).int8_array(numbers);
    return database.exec(statement, params);
  };
  const auto copies =
      ask("SELECT log_offset FROM storage.dropped_copy WHERE part = $1::int4 AND generation = $2::int4"
          " AND log_offset = ANY($3::int8[])");
  if (!copies.ok()) return copies.error();
  const auto dead = ask(
      "SELECT log_offset, cardinality(points) FROM storage.dead_letter WHERE part = $1::int4 AND generation = $2::int4"
      " AND log_offset = ANY($3::int8[])");
  if (!dead.ok()) return dead.error();
  std::set<std::int64_t> without_points;
  for (int i = 0; i < copies->size(); ++i) without_points.insert(copies->integer(i, 0));
  ledger.copies = copies->size();
  for (int i = 0; i < dead->size(); ++i) {
    const std::int64_t points = dead->integer(i, 1);
    ledger.dead_points += points;
    if (points > 0) continue;
    ++ledger.dead_records;
    without_points.insert(dead->integer(i, 0));
  }
  for (const Found& one : found) {
    if (one.offset >= next_offset) ++ledger.pending;
    if (!without_points.contains(one.offset)) ledger.points += one.points;
  }
  return {};
}

}  // namespace millrace::query_api
