#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <millrace/base/backoff.hpp>
#include <millrace/kafka/consumer.hpp>
#include <millrace/observability/log.hpp>

#include "batch/handover.hpp"
#include "batch/name_table.hpp"
#include "copies/copy_keeper.hpp"
#include "log/log_opener.hpp"
#include "log/partition_state.hpp"
#include "store/store.hpp"
#include "writer_config.hpp"
#include "writer_metrics.hpp"

namespace millrace::writer {

/// The reading thread: member of the consumer group, turns records into batches, hands a batch over whenever the
/// committing thread is idle, and stops reading while its batch is full.
class LogReader {
 public:
  LogReader(const Config& config, Handover& handover, NameTable& names, const WriterMetrics& metrics,
            DeviceCheck check);
  ~LogReader();
  LogReader(const LogReader&) = delete;
  LogReader& operator=(const LogReader&) = delete;

  void start();
  /// Stops taking records; the batch so far is handed over.
  void stop_intake();
  /// True once the last batch was handed over.
  [[nodiscard]] bool is_drained() const { return drained_; }
  /// Leaves the group and ends the thread.
  void join();

  struct State {
    bool ok = false;  ///< talking to Kafka, no partition stopped
    std::string detail;
  };
  [[nodiscard]] State state() const;

 private:
  void run();
  void read(kafka::Consumer& consumer);
  [[nodiscard]] bool step(kafka::Consumer& consumer);
  [[nodiscard]] Result<std::vector<kafka::Position>> assigned(std::span<const kafka::TopicPartition> partitions);
  void revoked();
  [[nodiscard]] Status reopen(kafka::Consumer& consumer, const std::string& why);
  [[nodiscard]] bool is_same_log(kafka::Consumer& consumer);
  [[nodiscard]] bool on_fault(const kafka::Polled& polled);
  void take(kafka::Consumer& consumer, kafka::Record record);
  void hand_over_if_due();
  [[nodiscard]] bool wait_while_full();
  void flow(kafka::Consumer& consumer);
  void keep_house(kafka::Consumer& consumer);
  void stop_partition(kafka::Consumer& consumer, std::int32_t partition);
  void forget_committed();
  void save_last_copies();
  void look_for_decisions();
  void note_lag(const kafka::Consumer& consumer);
  void note(bool connected, std::string detail);
  [[nodiscard]] bool is_full() const;
  [[nodiscard]] bool is_batch_due() const;

  const Config& config_;
  Handover& handover_;
  const WriterMetrics& metrics_;
  observability::Logger log_{"reader"};
  observability::LogLimiter limiter_;
  Store store_;  // its own connection: offsets are read while the other thread commits
  RecordTaker taker_;
  LogOpener opener_;
  CopyKeeper keeper_;
  std::map<std::int32_t, PartitionState> partitions_;
  std::uint64_t epoch_ = 0;
  Batch batch_;
  bool paused_ = false;
  std::optional<std::chrono::steady_clock::time_point> full_since_;
  std::uint64_t losses_seen_ = 0;
  std::chrono::steady_clock::time_point housekeeping_{};
  std::chrono::steady_clock::time_point decisions_{};
  std::map<std::int32_t, std::int64_t> committed_;

  mutable std::mutex state_mutex_;
  State state_;  // guarded by state_mutex_, as the following
  std::map<std::int32_t, std::string> stopped_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> drained_{false};
  std::atomic<bool> leaving_{false};
  std::jthread thread_;
};

}  // namespace millrace::writer
