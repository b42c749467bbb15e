#include "log/opener.hpp"

#include <algorithm>

#include <millrace/telemetry_log/log_check.hpp>

#include "log/record_codec.hpp"

namespace millrace::stream {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kAnswer{10'000};

std::string how_to_go_on(std::int32_t partition) {
  return "; no windows and alerts of it until an operator has decided: millrace admin log --partition " +
         std::to_string(partition);
}

}  // namespace

Result<PartitionRuns> Opener::open(kafka::Consumer& group, std::span<const kafka::TopicPartition> partitions,
                                   const std::function<bool()>& is_void) {
  // First of all: this waits for what a predecessor's transaction may still change, so that the alerts read below are
  // those of this position.
  auto committed = group.committed(partitions, kAnswer);
  if (!committed) return committed.error();
  kafka::ConsumerOptions options;
  // Not read_committed: its "end" would be the last stable offset, which may still be before a predecessor's alerts.
  options.isolation = kafka::Isolation::kReadUncommitted;
  kafka::Consumer reader(config_.kafka, options);
  const auto cluster = reader.cluster_id(kAnswer);
  if (!cluster) return cluster.error();
  PartitionRuns runs;
  for (const kafka::CommittedPosition& one : *committed) {
    if (is_void()) return Error{ErrorKind::kUnavailable, "the worker stops"};
    auto opening = begin_of(reader, *cluster, one, partitions.size());
    if (!opening) return opening.error();
    const std::int32_t partition = one.where.partition;
    auto task =
        std::make_unique<PartitionTask>(partition, opening->start.point.generation, config_.engine, rules_.book());
    auto run = std::make_unique<PartitionRun>(partition, std::move(opening->start), std::move(task));
    if (opening->contradiction) run->stop(*opening->contradiction + how_to_go_on(partition));
    runs[partition] = std::move(run);
  }
  if (auto done = restore_alerts(reader, runs, is_void); !done) return done.error();
  return runs;
}

Result<Opener::Opening> Opener::begin_of(kafka::Consumer& reader, const std::string& cluster,
                                         const kafka::CommittedPosition& committed, std::size_t partitions) {
  const std::int32_t partition = committed.where.partition;
  auto log = reader.watermarks(committed.where, kAnswer);
  if (!log) return log.error();
  const auto generation = generations_.generation(partition);
  Opening opening{.start = {}, .log = *log, .contradiction = std::nullopt};
  if (committed.offset >= 0) {
    auto point = decode_resume_point(committed.metadata);
    if (!point) return point.error();
    opening.start.point = std::move(*point);
  }
  const bool same_cluster = opening.start.point.cluster_id == cluster;
  const bool new_generation = committed.offset >= 0 && opening.start.point.generation < generation.number;
  const std::int64_t first = std::clamp(generation.from, log->low, log->high);
  if (committed.offset < 0 || (new_generation && !same_cluster)) {
    // The first time, or the operator has taken another log: what was open in the old one has no end.
    opening.start = {first, first, {}};
    opening.start.point.replay_from = first;
    opening.start.point.generation = generation.number;
    opening.start.point.cluster_id = cluster;
    return opening;
  }
  if (new_generation) {
    // Below its first record it is the log that it was.
    opening.start.point = carried_over(opening.start.point, generation.number, first);
    opening.start.committed = first;
    if (auto done = read_from(reader, committed.where, partitions, opening); !done) return done.error();
    return opening;
  }
  opening.start.committed = committed.offset;
  opening.start.read_from = committed.offset;
  if (!same_cluster) {
    opening.contradiction = "partition " + std::to_string(partition) + ": its position belongs to Kafka cluster " +
                            opening.start.point.cluster_id + ", this is " + cluster;
    return opening;
  }
  opening.contradiction = telemetry_log::contradiction({partition, committed.offset, std::nullopt}, *log);
  if (opening.contradiction) return opening;
  if (auto done = read_from(reader, committed.where, partitions, opening); !done) return done.error();
  return opening;
}

// How far back to read: the open windows, the record that identifies the log, and a stretch for copies and for what the
// devices sent last.
Status Opener::read_from(kafka::Consumer& reader, const kafka::TopicPartition& where, std::size_t partitions,
                         Opening& opening) {
  PartitionRun::Start& start = opening.start;
  if (start.point.replay_from < opening.log.low) {
    log_.warn("readings of open windows are not in the log any more",
              {{"partition", where.partition}, {"from", start.point.replay_from}, {"log_begin", opening.log.low}});
  }
  const TimeUs window = std::chrono::duration_cast<std::chrono::microseconds>(config_.copy_window).count();
  auto by_time = reader.offsets_at(std::span(&where, 1), std::max<TimeUs>(0, start.point.log_time - window), kAnswer);
  if (!by_time) return by_time.error();
  const std::int64_t window_begin =
      by_time->empty() || (*by_time)[0].offset < 0 ? start.committed : (*by_time)[0].offset;
  const std::int64_t most = config_.copy_records / static_cast<std::int64_t>(std::max<std::size_t>(1, partitions));
  std::int64_t from = std::max(window_begin, start.committed - most);
  from = std::min({from, start.point.replay_from, start.committed});
  if (start.point.last) from = std::min(from, start.committed - 1);
  start.read_from = std::max(from, opening.log.low);
  return {};
}

Status Opener::restore_alerts(kafka::Consumer& reader, PartitionRuns& runs, const std::function<bool()>& is_void) {
  std::vector<telemetry_log::Stretch> stretches;
  for (const auto& [partition, run] : runs) {
    const kafka::TopicPartition where{config_.topics.alerts(), partition};
    auto marks = reader.watermarks(where, kAnswer);
    if (!marks) return marks.error();
    stretches.push_back({where, marks->low, marks->high});
  }
  std::int64_t unreadable = 0;
  const auto take = [&](const kafka::Record& record) {
    if (record.is_tombstone()) return;
    auto event = decode_alert(record.value());
    if (event)
      runs.at(record.partition())->task().restore_alert(std::move(*event));
    else
      ++unreadable;
  };
  Status read =
      telemetry_log::read_stretches(config_.kafka, kafka::Isolation::kReadCommitted, stretches, take, is_void);
  if (unreadable > 0) log_.error("records of the topic alerts are no alerts", {{"records", unreadable}});
  return read;
}

}  // namespace millrace::stream
