// What Store knows of dead records, for positions.
#include <algorithm>

#include <millrace/kafka/dead_letter.hpp>

#include "store/store.hpp"

namespace millrace::writer {
namespace {

using postgres::Params;

// How far below a position its dead records are looked for: beyond any commit whose position was not published.
constexpr std::int64_t kReach = 200'000;

// Columns `points` (as text) and `reason`.
Result<DeadTail::Record> dead_at(const postgres::Rows& rows, int row, int column) {
  DeadTail::Record record;
  record.reason = std::string(rows.text(row, column + 1));
  if (rows.text(row, column).empty()) return record;
  auto points = kafka::dead_letter::parse_indexes(rows.text(row, column));
  if (!points) return points.error();
  record.points = std::move(*points);
  return record;
}

}  // namespace

Result<std::map<std::int32_t, DeadTail>> Store::dead_tails(
    const std::map<std::int32_t, Opening::Partition>& partitions) {
  std::map<std::int32_t, DeadTail> tails;
  std::vector<std::int32_t> parts;
  std::vector<std::int32_t> generations;
  std::vector<std::int64_t> lows;
  std::vector<std::int64_t> ends;
  for (const auto& [partition, one] : partitions) {
    lows.push_back(std::max(one.generation_from, one.next_offset - kReach));
    tails.emplace(partition, DeadTail(lows.back()));
    parts.push_back(partition);
    generations.push_back(one.generation);
    ends.push_back(one.next_offset);
  }
  if (parts.empty()) return tails;
  const auto rows = connection_->exec(
      "WITH p AS (SELECT * FROM unnest($1::int4[], $2::int4[], $3::int8[], $4::int8[]) AS p(part, generation, low, "
      "high)),"
      " d AS (SELECT x.part, x.log_offset, x.points, x.reason FROM p JOIN storage.dead_letter x ON x.part = p.part"
      " AND x.generation = p.generation AND x.log_offset >= p.low AND x.log_offset < p.high),"
      " c AS (SELECT y.part, y.log_offset, x.points, x.reason FROM p JOIN storage.dropped_copy y ON y.part = p.part"
      " AND y.generation = p.generation AND y.log_offset >= p.low AND y.log_offset < p.high"
      " JOIN storage.dead_letter x ON x.part = y.part AND x.generation = y.generation"
      " AND x.log_offset = y.original_offset)"
      " SELECT part, log_offset, array_to_string(points, ','), reason FROM (SELECT * FROM d UNION ALL SELECT * FROM c) "
      "a ORDER BY part, log_offset",
      Params{}.int4_array(parts).int4_array(generations).int8_array(lows).int8_array(ends));
  if (!rows) return rows.error();
  for (int i = 0; i < rows->size(); ++i) {
    auto record = dead_at(*rows, i, 2);
    if (!record) return record.error();
    tails.at(static_cast<std::int32_t>(rows->integer(i, 0)))
        .add(rows->integer(i, 1), std::move(record->points), record->reason);
  }
  return tails;
}

Result<std::map<std::int64_t, DeadTail::Record>> Store::dead_among(std::int32_t partition, std::int32_t generation,
                                                                   std::span<const std::int64_t> offsets) {
  const auto rows = connection_->exec(
      "SELECT log_offset, array_to_string(points, ','), reason FROM storage.dead_letter WHERE part = $1::int4"
      " AND generation = $2::int4 AND log_offset = ANY($3::int8[])",
      Params{}.integer(partition).integer(generation).int8_array(offsets));
  if (!rows) return rows.error();
  std::map<std::int64_t, DeadTail::Record> dead;
  for (int i = 0; i < rows->size(); ++i) {
    auto record = dead_at(*rows, i, 1);
    if (!record) return record.error();
    dead.emplace(rows->integer(i, 0), std::move(*record));
  }
  return dead;
}

}  // namespace millrace::writer
