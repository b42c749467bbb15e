#include "engine/partition_task.hpp"

#include <algorithm>
#include <optional>

namespace millrace::stream {
namespace {

std::optional<double> numeric(const telemetry::Value& value) {
  if (const auto* number = std::get_if<double>(&value)) return *number;
  if (const auto* number = std::get_if<std::int64_t>(&value)) return static_cast<double>(*number);
  return std::nullopt;
}

}  // namespace

PartitionTask::PartitionTask(std::int32_t partition, std::int32_t generation, Settings settings,
                             std::shared_ptr<const RuleBook> book)
    : partition_(partition),
      generation_(generation),
      settings_(settings),
      devices_(settings.windows),
      alerts_(std::move(book)) {}

void PartitionTask::learn(std::int64_t offset, TimeUs append_time, const telemetry::Batch& facts) {
  static_cast<void>(copies_.judge(offset, append_time, facts));
  log_time_ = std::max(log_time_, copies_.log_time());
}

void PartitionTask::skip(std::int64_t) { ++counts_.undecodable; }

// Event times of the record's readings, in their order. A reading without a time has ingest time plus its index, as in
// storage. A time far ahead of the log comes from a wrong clock and would close every window of the device: it is not
// believed.
void PartitionTask::place(const telemetry::Batch& batch) {
  placed_.clear();
  bool sorted = true;
  for (std::size_t i = 0; i < batch.points.size(); ++i) {
    const auto given = telemetry::device_time(batch, batch.points[i]);
    const bool believed = given && *given <= log_time_ + settings_.future;
    if (given && !believed) ++counts_.future;
    const TimeUs time = believed ? *given : batch.ingest_time + static_cast<TimeUs>(i);
    sorted = sorted && (placed_.empty() || placed_.back().time <= time);
    placed_.push_back({static_cast<std::int32_t>(i), time, believed});
  }
  if (!sorted) {
    std::sort(placed_.begin(), placed_.end(),
              [](const Placed& a, const Placed& b) { return a.time != b.time ? a.time < b.time : a.index < b.index; });
  }
}

void PartitionTask::process(std::int64_t offset, TimeUs append_time, const telemetry::Batch& batch, Outputs* outputs) {
  ++counts_.records;
  const auto verdict = copies_.judge(offset, append_time, batch);
  log_time_ = std::max(log_time_, copies_.log_time());
  devices_.expire(log_time_, outputs);
  if (verdict.is_copy()) {
    ++counts_.copies;
    return;
  }
  if (batch.replay) return;  // points of a dead letter: stored, but their windows went by when they first came
  place(batch);
  if (placed_.empty()) return;
  Device& device = devices_.of(batch, log_time_);
  late_points_.clear();
  late_windows_.clear();
  alerts_.begin_record();
  for (const Placed& placed : placed_) take(device, batch, placed, offset, outputs);
  if (!late_points_.empty()) {
    counts_.late += late_points_.size();
    if (outputs != nullptr)
      outputs->late({batch.tenant, batch.device, {partition_, offset, generation_}, late_points_, late_windows_});
  }
  // After the record as a whole: its readings may come in any order.
  devices_.advance(batch.device_key, device, placed_.back().time, outputs);
}

void PartitionTask::take(Device& device, const telemetry::Batch& batch, const Placed& placed, std::int64_t offset,
                         Outputs* outputs) {
  const telemetry::Point& point = batch.points[static_cast<std::size_t>(placed.index)];
  ++counts_.readings;
  if (const TimeUs start = devices_.window_of(placed.time); devices_.is_closed(device, start)) {
    late_points_.push_back(placed.index);
    late_windows_.push_back(start);
    return;
  }
  Series& series = Devices::series_of(device, point.metric);
  const RuledReading reading{&point.value, placed.time, placed.timed, partition_, offset, generation_, &batch};
  if (!alerts_.look_at(series.ruled, point.metric, reading, outputs)) ++counts_.unruled;
  devices_.count(batch.device_key, device, series,
                 {placed.time, placed.timed, numeric(point.value), offset, log_time_});
}

bool PartitionTask::wants_tick(std::int64_t next_offset, TimeUs log_time) const {
  if (log_time <= log_time_ || devices_.next_expiry() > log_time) return false;
  const bool joins = !ticks_.empty() && ticks_.back().offset == next_offset;
  return joins || ticks_.size() < ResumePoint::kMostTicks;
}

void PartitionTask::tick(const Tick& tick, Outputs* outputs) {
  log_time_ = std::max(log_time_, tick.log_time);
  // Two ticks between the same records do what the later one does alone.
  if (!ticks_.empty() && ticks_.back().offset == tick.offset)
    ticks_.back().log_time = log_time_;
  else
    ticks_.push_back({tick.offset, log_time_});
  devices_.expire(log_time_, outputs);
}

void PartitionTask::set_book(std::shared_ptr<const RuleBook> book, Outputs& outputs) {
  alerts_.set_book(std::move(book), log_time_, outputs);
}

std::int64_t PartitionTask::replay_from(std::int64_t next_offset) const { return devices_.oldest_offset(next_offset); }

const std::vector<Tick>& PartitionTask::ticks(std::int64_t next_offset) {
  // The last one before the stretch stays: log time may still be what it said.
  const std::int64_t from = replay_from(next_offset);
  while (ticks_.size() > 1 && ticks_[1].offset <= from) ticks_.erase(ticks_.begin());
  return ticks_;
}

}  // namespace millrace::stream
