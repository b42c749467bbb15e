// What Store does for replays of dead letters.
#include <map>
#include <string>
#include <utility>

#include "store/store.hpp"

namespace millrace::writer {
namespace {

using postgres::Params;

// Column `rule` of storage.dropped_copy, beside those of telemetry::CopyRule.
constexpr std::int16_t kReplayedBefore = 4;

/// Whether a replay's dead letter is known, and the record that carried it again.
struct Answer {
  bool is_known = false;
  std::optional<std::int64_t> replayed_by;
};

Result<Answer> ask(postgres::Connection& connection, const telemetry::Receipt& source) {
  const auto row = connection.exec(
      source.dead
          ? "SELECT log_offset FROM storage.corrected_letter WHERE dead_part = $1::int4 AND dead_offset = $3::int8"
            " AND $2::int4 = 0"
          : "SELECT replayed_offset FROM storage.dead_letter WHERE part = $1::int4 AND generation = $2::int4"
            " AND log_offset = $3::int8",
      Params{}.integer(source.partition).integer(source.generation).integer(source.offset));
  if (!row) return row.error();
  // A payload that was refused has no row before its first correction.
  if (row->empty()) return Answer{source.dead, std::nullopt};
  return Answer{true, row->is_null(0, 0) ? std::nullopt : std::optional(row->integer(0, 0))};
}

/// Whether it was this replay that marked its dead letter as replayed.
Result<bool> mark(postgres::Connection& connection, std::int32_t partition, std::int32_t generation,
                  const ReplayRecord& replay) {
  const auto marked = connection.exec(
      replay.source.dead
          ? "INSERT INTO storage.corrected_letter (dead_part, dead_offset, part, generation, log_offset)"
            " SELECT $1::int4, $3::int8, $6::int4, $4::int4, $5::int8 WHERE $2::int4 = 0 ON CONFLICT DO NOTHING"
          : "UPDATE storage.dead_letter SET replayed_generation = $4::int4, replayed_offset = $5::int8, replayed_at = "
            "now()"
            " WHERE part = $1::int4 AND generation = $2::int4 AND log_offset = $3::int8 AND replayed_offset IS NULL"
            " AND part = $6::int4",
      Params{}
          .integer(replay.source.partition)
          .integer(replay.source.generation)
          .integer(replay.source.offset)
          .integer(generation)
          .integer(replay.offset)
          .integer(partition));
  if (!marked) return marked.error();
  return marked->affected() == 1;
}

void bury(Batch& batch, std::int32_t partition, std::int64_t offset) {
  Slice& slice = batch.slices.at(partition);
  DeadLetter dead;
  dead.offset = offset;
  dead.reason = "the replay of a dead letter that the database does not know";
  for (const kafka::Record& record : slice.records) {
    if (record.offset() != offset) continue;
    const std::string_view key = record.key();
    dead.tenant = std::string(key.substr(0, key.find('/')));
    dead.device = std::string(key.substr(key.find('/') + 1));
  }
  slice.dead.push_back(std::move(dead));
}

}  // namespace

Status Store::settle_replays(Batch& batch) {
  for (auto& [partition, slice] : batch.slices) {
    std::map<std::string, std::int64_t> first;  // by source: offset of the replay that counts
    std::vector<ReplayRecord> kept;
    for (const ReplayRecord& replay : slice.replays) {
      const auto answer = ask(*connection_, replay.source);
      if (!answer) return answer.error();
      const auto [earlier, is_first] = first.try_emplace(replay.source.to_string(), replay.offset);
      if (answer->is_known && !answer->replayed_by && is_first) {
        kept.push_back(replay);
        continue;
      }
      batch.drop_rows(partition, replay.offset);
      if (!answer->is_known) {
        bury(batch, partition, replay.offset);
      } else {
        slice.copies.push_back({replay.offset, answer->replayed_by.value_or(earlier->second), kReplayedBefore});
      }
    }
    slice.replays = std::move(kept);
  }
  return {};
}

Status Store::mark_replayed(std::int32_t partition, const Slice& slice, std::optional<std::int32_t>& fenced) {
  for (const ReplayRecord& replay : slice.replays) {
    const auto marked = mark(*connection_, partition, slice.generation, replay);
    if (!marked) return marked.error();
    if (*marked) continue;
    fenced = partition;
    return Error{ErrorKind::kConflict, "a dead letter of partition " + std::to_string(partition) +
                                           " was replayed by somebody else meanwhile"};
  }
  return {};
}

}  // namespace millrace::writer
