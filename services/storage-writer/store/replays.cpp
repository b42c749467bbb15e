// What Store does for replays of dead letters.
#include <set>
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

Result<Answer> ask(postgres::Connection& connection, std::int32_t partition, const ReplayRecord& replay) {
  const auto row = connection.exec(
      "SELECT replayed_offset FROM storage.dead_letter WHERE part = $1::int4 AND generation = $2::int4"
      " AND log_offset = $3::int8",
      Params{}.integer(partition).integer(replay.source_generation).integer(replay.source_offset));
  if (!row) return row.error();
  if (row->empty()) return Answer{};
  return Answer{true, row->is_null(0, 0) ? std::nullopt : std::optional(row->integer(0, 0))};
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
    std::map<std::pair<std::int32_t, std::int64_t>, std::int64_t> first;  // by source: offset of the replay that counts
    std::vector<ReplayRecord> kept;
    for (const ReplayRecord& replay : slice.replays) {
      const auto answer = ask(*connection_, partition, replay);
      if (!answer) return answer.error();
      const auto [earlier, is_first] =
          first.try_emplace({replay.source_generation, replay.source_offset}, replay.offset);
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
    const auto marked = connection_->exec(
        "UPDATE storage.dead_letter SET replayed_generation = $4::int4, replayed_offset = $5::int8, replayed_at = now()"
        " WHERE part = $1::int4 AND generation = $2::int4 AND log_offset = $3::int8 AND replayed_offset IS NULL",
        Params{}
            .integer(partition)
            .integer(replay.source_generation)
            .integer(replay.source_offset)
            .integer(slice.generation)
            .integer(replay.offset));
    if (!marked) return marked.error();
    if (marked->affected() == 1) continue;
    fenced = partition;
    return Error{ErrorKind::kConflict, "a dead letter of partition " + std::to_string(partition) +
                                           " was replayed by somebody else meanwhile"};
  }
  return {};
}

}  // namespace millrace::writer
