#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <millrace/base/backoff.hpp>
#include <millrace/kafka/sync_producer.hpp>
#include <millrace/kafka/topics.hpp>
#include <millrace/observability/log.hpp>

#include "announce/announcer.hpp"
#include "announce/dead_tail.hpp"
#include "batch/handover.hpp"
#include "batch/name_table.hpp"
#include "store/day_partitions.hpp"
#include "store/series_table.hpp"
#include "store/store.hpp"
#include "writer_config.hpp"
#include "writer_metrics.hpp"

namespace millrace::writer {

/// The committing thread: turns batches into transactions, retries what the server refused for the moment, sends points
/// that it refuses for good to telemetry.dead, and flushes `latest` about once a second.
class Committer {
 public:
  Committer(const Config& config, Handover& handover, NameTable& names, const WriterMetrics& metrics);
  ~Committer();
  Committer(const Committer&) = delete;
  Committer& operator=(const Committer&) = delete;

  void start();
  /// After Handover::stop(): ends the thread, which flushes `latest` once more if the database answers.
  void join();

  struct State {
    bool database_ok = false;
    std::string detail;
  };
  [[nodiscard]] State state() const;

 private:
  enum class Outcome {
    kDone,
    kAgain,   ///< at once: a refused point was taken out
    kRetry,   ///< after a pause
    kGiveUp,  ///< the batch is void
  };

  void run();
  void open(const Opening& opening);
  [[nodiscard]] Status learn_touched(const Opening& opening);
  [[nodiscard]] Status announce(const Opening& opening);
  [[nodiscard]] storage::v1::Progress progress_of(std::int32_t partition);
  void tell_waiting(std::int32_t partition, const Slice& slice);
  void store(Batch& batch);
  [[nodiscard]] Outcome try_store(Batch& batch);
  void be_more_patient();
  void be_usual();
  [[nodiscard]] Outcome after_failure(Batch& batch, const Error& error, std::span<const std::size_t> order,
                                      Changes& changes);
  [[nodiscard]] Outcome settle_unknown(Batch& batch);
  [[nodiscard]] Status bury(Batch& batch, Changes& changes, std::span<const std::size_t> order);
  [[nodiscard]] Status prepare(Batch& batch);
  [[nodiscard]] Status learn_names();
  [[nodiscard]] Status ensure_days(const Changes& changes);
  [[nodiscard]] Status ensure_coming_days();
  [[nodiscard]] Status send_dead(Batch& batch);
  void committed(const Batch& batch, const Changes& changes);
  void flush_if_due();
  void flush_latest();
  /// Waits before another try; false if the work is void meanwhile.
  [[nodiscard]] bool pause(Backoff& backoff, std::uint64_t epoch);
  void note(bool ok, std::string detail);

  const Config& config_;
  Handover& handover_;
  NameTable& names_;
  const WriterMetrics& metrics_;
  observability::Logger log_{"committer"};
  observability::LogLimiter limiter_;
  Store store_;
  SeriesTable series_;
  DayPartitions days_;
  std::unique_ptr<kafka::SyncProducer> producer_;  // of dead letters, and of positions when partitions are taken
  Announcer announcer_;
  std::map<std::int32_t, DeadTail> tails_;  // of the current epoch, by partition
  std::vector<std::int32_t> ids_;           // by index of the name table
  std::size_t buried_in_batch_ = 0;
  // For a batch that was cancelled at its deadline: so long its next try may take. 0: as usual.
  std::chrono::milliseconds patience_{0};
  std::int32_t coming_checked_ = 0;  // day for which the coming days exist
  Opening opening_;                  // of the current epoch; latest_offset and next_offset move on
  std::chrono::steady_clock::time_point flushed_{};
  mutable std::mutex state_mutex_;
  State state_;
  std::jthread thread_;
};

}  // namespace millrace::writer
