#include <millrace/storage/v1/progress.pb.h>
#include <millrace/telemetry_log/log_generations.hpp>

namespace millrace::telemetry_log {

LogGenerations::LogGenerations(kafka::Settings settings, std::string progress_topic, std::string telemetry_topic)
    : telemetry_topic_(std::move(telemetry_topic)),
      follower_(
          std::move(settings), std::move(progress_topic),
          {.on_again = {}, .on_record = [this](const kafka::Record& record) { take(record); }, .on_complete = {}}) {}

void LogGenerations::take(const kafka::Record& record) {
  if (record.is_tombstone()) return;
  storage::v1::Progress progress;
  if (!progress.ParseFromArray(record.value().data(), static_cast<int>(record.value().size()))) {
    log_.limited(limiter_, observability::Level::kError, "an entry of storage-progress ignored",
                 {{"offset", record.offset()}});
    return;
  }
  const auto partition = static_cast<std::size_t>(progress.partition());
  if (progress.topic() != telemetry_topic_ || progress.partition() < 0 || partition >= generations_.size()) return;
  {
    const std::scoped_lock lock(mutex_);
    begins_[progress.partition()] = {progress.generation(), progress.generation_from()};
  }
  const std::int32_t before = generations_[partition].exchange(progress.generation(), std::memory_order_relaxed);
  if (before != progress.generation()) {
    log_.info("a partition is in another generation of the log",
              {{"partition", progress.partition()}, {"generation", progress.generation()}});
  }
  if (on_position_) on_position_(position_of(progress));
}

LogGenerations::Generation LogGenerations::generation(std::int32_t partition) const {
  const std::scoped_lock lock(mutex_);
  const auto found = begins_.find(partition);
  return found == begins_.end() ? Generation{} : found->second;
}

runtime::CheckResult LogGenerations::check() const {
  if (!follower_.ready()) return {false, "the topic storage-progress was not read to its end yet"};
  return {true, follower_.connected() ? "known" : "known, Kafka is away"};
}

}  // namespace millrace::telemetry_log
