#include "replay/replay_record.hpp"

#include <numeric>
#include <string>

namespace millrace::registry {

namespace {

// `points` have the times that the store would have given them.
void fill(ReplayMessage& message, telemetry::Batch record, std::vector<telemetry::Point> points,
          telemetry::Replay replay, const telemetry::IngestId& id) {
  message.batch = std::move(record);
  message.batch.points = std::move(points);
  message.batch.event_time.reset();
  message.batch.ingest_id = id;
  // Explicit id, packet id and hash are the first record's.
  message.batch.delivery = {};
  message.batch.answer_when_stored = false;
  message.batch.replay = std::move(replay);
}

}  // namespace

Result<ReplayMessage> replay_message(telemetry::Batch record, std::span<const std::int32_t> points,
                                     const telemetry::Receipt& dead_letter, const telemetry::Receipt& source,
                                     const telemetry::IngestId& id) {
  std::vector<std::int32_t> wanted(points.begin(), points.end());
  if (wanted.empty()) {
    wanted.resize(record.points.size());
    std::iota(wanted.begin(), wanted.end(), 0);
  }
  if (wanted.empty()) return Error{ErrorKind::kPrecondition, "the record has no points"};
  ReplayMessage message;
  std::vector<telemetry::Point> dead;
  for (const std::int32_t index : wanted) {
    if (index < 0 || static_cast<std::size_t>(index) >= record.points.size()) {
      return Error{ErrorKind::kPrecondition, "the record has no point " + std::to_string(index)};
    }
    telemetry::Point point = record.points[static_cast<std::size_t>(index)];
    const auto given = telemetry::device_time(record, point);
    if (!given) message.untimed.push_back(static_cast<std::int32_t>(dead.size()));
    point.time = given.value_or(record.ingest_time + index);
    dead.push_back(std::move(point));
  }
  fill(message, std::move(record), std::move(dead), {dead_letter.to_string(), source.to_string()}, id);
  return message;
}

Result<ReplayMessage> corrected_message(telemetry::Batch record, const telemetry::Batch& corrected,
                                        const telemetry::Receipt& dead_letter, const telemetry::Receipt& source,
                                        const telemetry::IngestId& id) {
  if (corrected.points.empty()) return Error{ErrorKind::kPrecondition, "the corrected payload has no points"};
  ReplayMessage message;
  std::vector<telemetry::Point> points;
  for (const telemetry::Point& given : corrected.points) {
    const auto index = static_cast<std::int32_t>(points.size());
    const auto time = telemetry::device_time(corrected, given);
    if (!time) message.untimed.push_back(index);
    points.push_back({given.metric, given.value, time.value_or(record.ingest_time + index)});
  }
  fill(message, std::move(record), std::move(points), {dead_letter.to_string(), source.to_string()}, id);
  return message;
}

}  // namespace millrace::registry
