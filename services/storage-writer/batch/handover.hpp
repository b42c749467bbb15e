#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <millrace/base/time.hpp>

#include "batch/batch.hpp"

namespace millrace::writer {

/// A series by the index of its metric's name.
struct NamedSeries {
  std::int32_t device = 0;
  std::uint32_t metric = 0;
  std::int32_t partition = 0;
};

/// What the committing thread must know before the first batch of a new assignment.
struct Opening {
  struct Partition {
    std::int32_t generation = 0;
    std::int64_t generation_from = 0;
    std::int64_t next_offset = 0;
    std::int64_t latest_offset = 0;
    TimeUs log_time = 0;
  };
  std::uint64_t epoch = 0;
  std::map<std::int32_t, Partition> partitions;
  std::vector<NamedSeries> touched;  ///< series with records in [latest_offset, next_offset)
};

/// Between the reading and the committing thread. Holds at most one opening and one batch; the reader goes on filling
/// its next batch meanwhile and stops reading when that is full, so memory is bounded by two batches.
class Handover {
 public:
  // --- reading thread ---

  /// True while the other side waits for work: the reader then closes its batch.
  [[nodiscard]] bool is_hungry() const { return hungry_.load(std::memory_order_acquire); }
  /// Waits until the other side waits for work or asks for a reset, at most until `until`.
  void wait_hungry(std::chrono::steady_clock::time_point until);
  void put(Batch batch);
  void put(Opening opening);
  /// Ends the epoch: queued work is dropped, work in progress is given up at its next step; returns when the other side
  /// is idle. The new epoch's number.
  std::uint64_t begin_epoch();
  /// The other side gave up a batch (fenced, or somebody else moved the offset): read the database again.
  [[nodiscard]] std::optional<std::string> take_reset_request();
  /// Committed offsets since the last call.
  [[nodiscard]] std::map<std::int32_t, std::int64_t> take_committed();
  /// Waits until everything put was done; false at the deadline.
  [[nodiscard]] bool wait_idle(std::chrono::steady_clock::time_point deadline);

  // --- committing thread ---

  struct Work {
    std::optional<Opening> opening;
    std::optional<Batch> batch;
  };
  /// Waits for work, at most until `until`; marks the caller idle meanwhile.
  [[nodiscard]] Work take(std::chrono::steady_clock::time_point until);
  [[nodiscard]] std::uint64_t epoch() const { return epoch_.load(std::memory_order_acquire); }
  void request_reset(std::string reason);
  void report_committed(std::int32_t partition, std::int64_t next_offset);

  // --- both ---

  void stop();
  [[nodiscard]] bool stopped() const { return stopped_.load(std::memory_order_acquire); }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Opening> opening_;  // guarded by mutex_, as the following
  std::optional<Batch> batch_;
  std::optional<std::string> reset_;
  std::map<std::int32_t, std::int64_t> committed_;
  bool idle_ = true;
  std::atomic<bool> hungry_{false};
  std::atomic<std::uint64_t> epoch_{0};
  std::atomic<bool> stopped_{false};
};

}  // namespace millrace::writer
