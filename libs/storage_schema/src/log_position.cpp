#include <algorithm>

#include <millrace/storage_schema/log_position.hpp>

namespace millrace::storage_schema {

using postgres::Params;

Result<std::map<std::int32_t, OffsetRow>> read_offset_rows(postgres::Connection& connection, std::string_view topic) {
  auto rows = connection.exec(
      "SELECT part, generation, next_offset, latest_offset, cluster_id, last_start, last_counter, last_crc, "
      "log_time_us,"
      " COALESCE((SELECT max(b.resume_offset) FROM storage.log_break b"
      "           WHERE b.part = o.part AND b.generation = o.generation - 1), 0)"
      " FROM storage.ingest_offset o WHERE topic = $1",
      Params{}.text(topic));
  if (!rows) return rows.error();
  std::map<std::int32_t, OffsetRow> all;
  for (int i = 0; i < rows->size(); ++i) {
    OffsetRow& row = all[static_cast<std::int32_t>(rows->integer(i, 0))];
    row.generation = static_cast<std::int32_t>(rows->integer(i, 1));
    row.next_offset = rows->integer(i, 2);
    row.latest_offset = rows->integer(i, 3);
    row.cluster_id = rows->text(i, 4);
    row.log_time = rows->integer(i, 8);
    row.generation_from = rows->integer(i, 9);
    if (rows->is_null(i, 5)) continue;
    RecordMark mark;
    const std::string_view start = rows->text(i, 5);
    if (start.size() != mark.ingest_id.start.size())
      return Error{ErrorKind::kCorrupt, "storage.ingest_offset: last_start has another length"};
    std::copy(start.begin(), start.end(), mark.ingest_id.start.begin());
    mark.ingest_id.counter = static_cast<std::uint64_t>(rows->integer(i, 6));
    mark.checksum = static_cast<std::uint32_t>(rows->integer(i, 7));
    row.last = mark;
  }
  return all;
}

std::string how_to_go_on(std::int32_t partition) {
  return "; nothing of this partition is stored until an operator has decided: millrace admin log --partition " +
         std::to_string(partition);
}

std::optional<std::string> contradiction(std::int32_t partition, const OffsetRow& row, std::string_view cluster_id,
                                         const kafka::Watermarks& log) {
  const std::string where = "partition " + std::to_string(partition) + ": ";
  if (row.cluster_id != cluster_id) {
    return where + "the database belongs to Kafka cluster " + row.cluster_id + ", this is " + std::string(cluster_id) +
           how_to_go_on(partition);
  }
  const std::string next = std::to_string(row.next_offset);
  if (log.high < row.next_offset) {
    return where + "the log ends at " + std::to_string(log.high) + ", before the next offset " + next + ": it was cut" +
           how_to_go_on(partition);
  }
  if (log.low > row.next_offset) {
    return where + "the log begins at " + std::to_string(log.low) + ", behind the next offset " + next +
           ": records were deleted unread" + how_to_go_on(partition);
  }
  return std::nullopt;
}

std::optional<LogBreak> plan_break(const OffsetRow& row, const LogEvidence& evidence) {
  const kafka::Watermarks& log = evidence.log;
  const std::int64_t next = row.next_offset;
  LogBreak plan{.generation = row.generation, .lost_from = next, .lost_to = next, .resume = next};
  if (log.high < next || evidence.before == LogEvidence::Before::kOther) {
    plan.lost_to = LogBreak::kEverything;
    plan.resume = std::clamp(std::min(evidence.first_newer.value_or(log.high), next), log.low, log.high);
    return plan;
  }
  if (log.low > next) {
    plan.lost_to = plan.resume = log.low;
    // Of another cluster nothing says that the records before were the same.
    if (!evidence.same_cluster) plan.lost_to = LogBreak::kEverything;
    return plan;
  }
  if (evidence.at_position && *evidence.at_position > next) {
    plan.lost_to = plan.resume = *evidence.at_position;
    return plan;
  }
  if (evidence.same_cluster) return std::nullopt;
  // Another cluster: the same log where the record before the position is the same, else one of its own.
  if (evidence.before == LogEvidence::Before::kSame) return plan;
  plan.lost_to = LogBreak::kEverything;
  plan.resume = std::clamp(std::min(evidence.first_newer.value_or(log.high), next), log.low, log.high);
  return plan;
}

}  // namespace millrace::storage_schema
