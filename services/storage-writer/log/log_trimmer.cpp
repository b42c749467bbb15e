#include "log/log_trimmer.hpp"

#include <algorithm>
#include <map>
#include <span>
#include <utility>

#include <millrace/telemetry_log/log_check.hpp>

namespace millrace::writer {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kAnswer{10'000};
// COPY_WINDOW_S of both services is at most this.
constexpr TimeUs kCopies = 86'400 * kUsPerSecond;

using Needs = std::map<std::int32_t, LogNeed>;

std::vector<kafka::TopicPartition> partitions_of(const Needs& needs, const std::string& topic) {
  std::vector<kafka::TopicPartition> partitions;
  for (const auto& [partition, need] : needs) partitions.push_back({topic, partition});
  return partitions;
}

}  // namespace

struct LogTrimmer::Clients {
  kafka::Consumer consumer;
  kafka::Admin admin;
  std::string cluster_id = {};
};

TimeUs removable_before(const LogNeed& need, TimeUs now, std::chrono::hours keep) {
  const TimeUs old = now - std::chrono::duration_cast<std::chrono::microseconds>(keep).count();
  if (!need.replay) return old;
  return std::min({old, need.stored.log_time - kCopies, need.replay->log_time - kCopies});
}

std::optional<std::int64_t> first_needed(const LogNeed& need, std::int64_t first_younger) {
  if (need.processed < 0 || !need.replay || need.replay->cluster_id != need.stored.cluster_id ||
      need.replay->generation != need.stored.generation)
    return std::nullopt;
  // The records before the positions tell whether the log is still the same one.
  return std::min(
      {first_younger, need.stored.next_offset - 1, need.stored.latest_offset, need.processed - 1, need.replay->offset});
}

LogTrimmer::LogTrimmer(const Config& config, const WriterMetrics& metrics) : config_(config), metrics_(metrics) {}

LogTrimmer::~LogTrimmer() { stop(); }

void LogTrimmer::start() {
  if (config_.log_trim_interval.count() == 0) return note("off (MILLRACE_STORAGE_WRITER_LOG_TRIM_INTERVAL_MS=0)");
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void LogTrimmer::stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

std::string LogTrimmer::detail() const {
  const std::scoped_lock lock(mutex_);
  return detail_;
}

void LogTrimmer::note(std::string detail) {
  const std::scoped_lock lock(mutex_);
  detail_ = std::move(detail);
}

void LogTrimmer::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, stop, config_.log_trim_interval, [] { return false; });
    }
    if (stop.stop_requested()) return;
    if (const Status done = pass(now_us()); !done) {
      note(done.error().message);
      log_.limited(limiter_, observability::Level::kWarn, "old records of the log could not be looked for",
                   {{"error", done.error().message}});
    }
  }
}

Status LogTrimmer::pass(TimeUs now) {
  auto database = postgres::Connection::open(config_.database);
  if (!database) return database.error();
  const std::string topic = config_.topics.telemetry();
  auto rows = storage_schema::read_offset_rows(**database, topic);
  if (!rows) return rows.error();
  database->reset();
  if (rows->empty()) return {};
  // It never joins the group: it only asks what the group has committed, when no transaction can change it any more.
  kafka::ConsumerOptions options;
  options.group_id = config_.stream_group;
  Clients clients{kafka::Consumer(config_.kafka, options), kafka::Admin(config_.kafka)};
  auto cluster = clients.consumer.cluster_id(kAnswer);
  if (!cluster) return cluster.error();
  clients.cluster_id = *std::move(cluster);
  Needs needs;
  for (auto& [partition, row] : *rows) needs[partition].stored = std::move(row);
  auto committed = clients.consumer.committed(partitions_of(needs, topic), kAnswer);
  if (!committed) return committed.error();
  for (const kafka::CommittedPosition& one : *committed) {
    if (one.offset < 0) continue;
    auto replay = telemetry_log::read_replay_start(one.metadata);
    if (!replay) return replay.error();
    needs[one.where.partition].processed = one.offset;
    needs[one.where.partition].replay = *std::move(replay);
  }
  int held = 0;
  for (const auto& [partition, need] : needs) {
    const auto may = trim(clients, partition, need, now);
    if (!may) return may.error();
    held += *may ? 0 : 1;
  }
  metrics_.log_held_partitions.set(held);
  note(held == 0 ? "as it should be"
                 : "nothing of " + std::to_string(held) + " partitions is removed: see the metrics");
  return {};
}

// False: records are old and stay, because somebody's position is not known or does not fit the log, which is then left
// to the operator as it is.
Result<bool> LogTrimmer::trim(Clients& clients, std::int32_t partition, const LogNeed& need, TimeUs now) {
  const kafka::TopicPartition where{config_.topics.telemetry(), partition};
  const auto log = clients.consumer.watermarks(where, kAnswer);
  if (!log) return log.error();
  const auto old = first_since(clients, where, removable_before({}, now, config_.log_keep), *log);
  if (!old) return old.error();
  if (*old <= log->low) return true;
  auto fits = positions_fit(clients, partition, need, *log);
  if (!fits || !*fits) return fits;
  const auto younger = first_since(clients, where, removable_before(need, now, config_.log_keep), *log);
  if (!younger) return younger.error();
  const auto first = first_needed(need, *younger);
  if (!first || *first <= log->low) return first.has_value();
  const auto begin = clients.admin.delete_records(where, *first, kAnswer);
  if (!begin) return begin.error();
  metrics_.log_records_removed.add(static_cast<double>(*begin - log->low));
  log_.info("old records of the log removed", {{"partition", partition}, {"from", log->low}, {"to", *begin}});
  return true;
}

Result<std::int64_t> LogTrimmer::first_since(Clients& clients, const kafka::TopicPartition& where, TimeUs time,
                                             const kafka::Watermarks& log) {
  if (time <= 0 || log.low == log.high) return log.low;
  const auto found = clients.consumer.offsets_at(std::span(&where, 1), time, kAnswer);
  if (!found) return found.error();
  return found->empty() || (*found)[0].offset < 0 ? log.high : (*found)[0].offset;
}

Result<bool> LogTrimmer::positions_fit(const Clients& clients, std::int32_t partition, const LogNeed& need,
                                       const kafka::Watermarks& log) {
  if (need.processed < 0 || storage_schema::contradiction(partition, need.stored, clients.cluster_id, log) ||
      telemetry_log::contradiction({partition, need.processed, std::nullopt}, log))
    return false;
  const telemetry_log::KeptPosition kept{partition, need.stored.next_offset, need.stored.last};
  const auto other = telemetry_log::contradictions(config_.kafka, config_.topics.telemetry(), std::span(&kept, 1));
  if (!other) return other.error();
  return other->empty();
}

}  // namespace millrace::writer
