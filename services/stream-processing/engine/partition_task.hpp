#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include <millrace/base/time.hpp>
#include <millrace/telemetry/batch.hpp>
#include <millrace/telemetry/copy_rules.hpp>

#include "engine/alerts.hpp"
#include "engine/devices.hpp"
#include "engine/outputs.hpp"
#include "engine/resume_point.hpp"

namespace millrace::stream {

/// What happened to the readings, for metrics.
struct TaskCounts {
  std::uint64_t records = 0;
  std::uint64_t readings = 0;
  std::uint64_t copies = 0;
  std::uint64_t late = 0;
  std::uint64_t future = 0;  ///< from a clock more than five minutes ahead: counted at their ingest time
  std::uint64_t undecodable = 0;
  std::uint64_t unruled = 0;  ///< not shown to the rules: the record had spent their budget
};

/// The stream engine for one partition of `telemetry`: a state machine, a pure function of an ordered log. What it
/// takes: records in offset order, ticks, rule books. Time, Kafka and threads are outside.
///
/// After a crash or a hand-over the same state comes from the log: records from ResumePoint::replay_from up to the
/// committed position are processed with outputs suppressed, ticks where they were; the alerts come from their topic.
/// A stretch before replay_from goes first, so that copies of its records are recognised, and what its devices send
/// late still is late; end_replay() then closes what it opened.
class PartitionTask {
 public:
  struct Settings {
    WindowSettings windows;
    TimeUs future = 300 * kUsPerSecond;  ///< an event time further ahead of log time is not believed
  };

  PartitionTask(std::int32_t partition, std::int32_t generation, Settings settings,
                std::shared_ptr<const RuleBook> book);

  /// The last event of an alert key of this partition. Before the first record.
  void restore_alert(Alert event) { alerts_.restore(std::move(event)); }

  /// The facts of a record whose points cannot be read: only copies of it are recognised.
  void learn(std::int64_t offset, TimeUs append_time, const telemetry::Batch& facts);

  /// The committed position is reached: every window that was opened before `replay_from` is closed without a result,
  /// as it was when the position was committed.
  void end_replay(std::int64_t replay_from) { devices_.close_opened_before(replay_from); }

  /// The next record. `outputs` null: suppressed.
  void process(std::int64_t offset, TimeUs append_time, const telemetry::Batch& batch, Outputs* outputs);

  /// A record whose bytes are no batch: only counted; storage-writer makes it a dead letter.
  void skip(std::int64_t offset);

  /// The partition is idle and the clock says `log_time`.
  void tick(const Tick& tick, Outputs* outputs);

  void set_book(std::shared_ptr<const RuleBook> book, Outputs& outputs);

  /// Whether a tick to `log_time` would close a window and can still be noted in the resume point.
  [[nodiscard]] bool wants_tick(std::int64_t next_offset, TimeUs log_time) const;

  /// First record to read again, and the ticks behind it, if the position before `next_offset` is committed now.
  [[nodiscard]] std::int64_t replay_from(std::int64_t next_offset) const;
  [[nodiscard]] const std::vector<Tick>& ticks(std::int64_t next_offset);

  /// Positions below are committed.
  void committed(std::int64_t next_offset) { copies_.forget_before(next_offset); }

  [[nodiscard]] TimeUs log_time() const { return log_time_; }
  [[nodiscard]] const TaskCounts& counts() const { return counts_; }
  [[nodiscard]] std::size_t open_windows() const { return devices_.open_windows(); }
  [[nodiscard]] std::size_t open_alerts() const { return alerts_.open(); }
  [[nodiscard]] std::size_t devices() const { return devices_.size(); }

 private:
  struct Placed {
    std::int32_t index = 0;
    TimeUs time = 0;
    bool timed = false;
  };
  void place(const telemetry::Batch& batch);
  void take(Device& device, const telemetry::Batch& batch, const Placed& placed, std::int64_t offset, Outputs* outputs);

  std::int32_t partition_;
  std::int32_t generation_;
  Settings settings_;
  telemetry::CopyRules copies_;
  Devices devices_;
  Alerts alerts_;
  TimeUs log_time_ = 0;
  std::vector<Tick> ticks_;
  TaskCounts counts_;
  std::vector<Placed> placed_;             // of the record in hand, by time
  std::vector<std::int32_t> late_points_;  // likewise
  std::vector<TimeUs> late_windows_;
};

}  // namespace millrace::stream
