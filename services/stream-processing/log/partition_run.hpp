#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/telemetry/batch.hpp>

#include "engine/partition_task.hpp"

namespace millrace::stream {

/// One owned partition: takes the log's records to its task, first those that were processed before, with outputs
/// suppressed, then new ones. Knows nothing of Kafka. One thread.
class PartitionRun {
 public:
  struct Start {
    std::int64_t read_from = 0;  ///< first record to read, at point.replay_from or before
    std::int64_t committed = 0;  ///< first record whose outputs count
    ResumePoint point;
  };

  PartitionRun(std::int32_t partition, Start start, std::unique_ptr<PartitionTask> task);

  /// A record of the log; the view lives during the call.
  struct Entry {
    std::int64_t offset = 0;
    TimeUs append_time = 0;  ///< the broker's, microseconds
    std::string_view value;
  };
  struct Decoder {
    telemetry::BatchCodec codec;
    telemetry::Batch batch;
  };
  /// Takes the record at next_offset(); one before it is ignored. On a hole in the log, and where the record before the
  /// committed position is another one, the partition is stopped and nothing is taken.
  void take(const Entry& record, Decoder& decoder, Outputs& outputs);

  /// Takes nothing more; `why` is a sentence for an operator.
  void stop(std::string why);
  [[nodiscard]] const std::optional<std::string>& stopped() const { return stopped_; }

  /// Also the first offset to read at the beginning.
  [[nodiscard]] std::int64_t next_offset() const { return next_; }
  /// Whether everything committed has been read again.
  [[nodiscard]] bool is_live() const { return next_ >= start_.committed; }
  /// Whether the position has moved, or a tick came, since note_committed().
  [[nodiscard]] bool is_ahead() const { return ahead_; }

  /// The clock moves the log time on, if that closes a window. For a partition whose end is reached.
  void tick(TimeUs log_time, Outputs& outputs);

  /// What goes with the position next_offset() into the transaction.
  [[nodiscard]] ResumePoint resume_point();
  void note_committed();

  /// Mark of the record before next_offset(); none at the beginning of a log.
  [[nodiscard]] std::optional<telemetry::RecordMark> mark() const;

  [[nodiscard]] PartitionTask& task() { return *task_; }
  [[nodiscard]] const PartitionTask& task() const { return *task_; }
  [[nodiscard]] std::int32_t partition() const { return partition_; }
  /// Of the log that it works on.
  [[nodiscard]] std::int32_t generation() const { return start_.point.generation; }

 private:
  void replay_ticks(std::int64_t offset);
  void end_replay();
  void run(const Entry& record, Decoder& decoder, Outputs& outputs);
  [[nodiscard]] bool is_expected(const Entry& record) const;

  std::int32_t partition_;
  Start start_;
  std::unique_ptr<PartitionTask> task_;
  std::int64_t next_;
  std::size_t ticks_done_ = 0;
  bool ahead_ = false;
  std::optional<std::string> last_;  // value of the record before next_; none before the first
  std::optional<std::string> stopped_;
};

}  // namespace millrace::stream
