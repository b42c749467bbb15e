#include "replay/replay_record.hpp"

#include <numeric>
#include <string>

namespace millrace::registry {

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
  for (const std::int32_t index : wanted) {
    if (index < 0 || static_cast<std::size_t>(index) >= record.points.size()) {
      return Error{ErrorKind::kPrecondition, "the record has no point " + std::to_string(index)};
    }
    telemetry::Point point = record.points[static_cast<std::size_t>(index)];
    const auto given = telemetry::device_time(record, point);
    if (!given) message.untimed.push_back(static_cast<std::int32_t>(message.batch.points.size()));
    point.time = given.value_or(record.ingest_time + index);
    message.batch.points.push_back(std::move(point));
  }
  std::vector<telemetry::Point> dead = std::move(message.batch.points);
  message.batch = std::move(record);
  message.batch.points = std::move(dead);
  message.batch.event_time.reset();
  message.batch.ingest_id = id;
  // Explicit id, packet id and hash are the first record's.
  message.batch.delivery = {};
  message.batch.replay = telemetry::Replay{dead_letter.to_string(), source.to_string()};
  return message;
}

}  // namespace millrace::registry
