#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include <millrace/observability/log.hpp>

#include "copies/copy_states.hpp"
#include "log/partition_state.hpp"
#include "store/store.hpp"
#include "writer_config.hpp"
#include "writer_metrics.hpp"

namespace millrace::writer {

/// Whether a partition's state is to be saved again: not before `interval` has passed, and then once there are so many
/// records since the last one that 32 B of state for each are worth it, or ten times the interval has passed. So a
/// small state is saved often, a large one seldom, and one that did not move on never.
[[nodiscard]] bool is_copy_state_due(const PartitionState& state, std::chrono::steady_clock::time_point now,
                                     std::chrono::milliseconds interval);

/// Saves the copy rules' states of the owned partitions, one partition at a time. The reading thread, which owns the
/// rules, writes a state down (about 5 ms for 200,000 explicit ids); once everything in it is committed, a thread with
/// a connection of its own puts it into the database. Neither ever waits for the other. Holds one state in memory, at
/// most CopyRules::kMaxSavedBytes. A failure is logged and counted, and tried again later: all it costs is a longer
/// stretch of the log to read when the partition is taken the next time.
///
/// Every call is of the reading thread.
class CopyKeeper {
 public:
  CopyKeeper(const Config& config, const WriterMetrics& metrics);

  void start();
  /// Does what is due. `committed`: offsets below which everything is committed, by partition. Does not block beyond
  /// writing one state down.
  void step(std::map<std::int32_t, PartitionState>& partitions, const std::map<std::int32_t, std::int64_t>& committed);
  /// The partitions are somebody else's: what is not with the database's thread yet is thrown away.
  void forget() { waiting_.reset(); }
  /// A clean stop: ends the thread and saves the partitions whose records are all committed, at most for ten seconds
  /// or a third of the stop deadline.
  void finish(std::map<std::int32_t, PartitionState>& partitions,
              const std::map<std::int32_t, std::int64_t>& committed);

 private:
  void run(const std::stop_token& stop);
  [[nodiscard]] std::optional<CopyStateRow> next_work(const std::stop_token& stop);
  [[nodiscard]] Status save(const CopyStateRow& state, std::function<bool()> interrupt);
  [[nodiscard]] bool is_busy(std::map<std::int32_t, PartitionState>& partitions);
  void put(CopyStateRow state);
  void report(std::int32_t partition, const Error& error);
  [[nodiscard]] std::optional<CopyStateRow> write_down(std::int32_t partition, PartitionState& state);

  const Config& config_;
  const WriterMetrics& metrics_;
  observability::Logger log_{"copies"};
  observability::LogLimiter limiter_;
  std::optional<CopyStateRow> waiting_;  // for its records to be committed
  Store store_;                          // of the thread; after it has ended, of finish()
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::optional<CopyStateRow> work_;  // guarded by mutex_, as the following
  bool busy_ = false;
  std::set<std::int32_t> failed_;
  std::jthread thread_;
};

}  // namespace millrace::writer
