#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <millrace/base/backoff.hpp>
#include <millrace/kafka/consumer.hpp>
#include <millrace/kafka/sync_producer.hpp>
#include <millrace/observability/log.hpp>

#include "derived/derived_batch.hpp"
#include "derived/derived_store.hpp"
#include "writer_config.hpp"
#include "writer_metrics.hpp"

namespace millrace::writer {

/// Copies the topics `windows` and `alerts` to the database, each record once. A consumer group, a connection and one
/// thread of its own, which reads and commits in turn: nothing here can hold up the telemetry. While Kafka or the
/// database is away its batch stays and no more is read.
///
/// Both topics are made from the telemetry, and a row of them is never changed by a later record: a log that was cut or
/// replaced is simply read from where it now begins.
class DerivedWriter {
 public:
  DerivedWriter(const Config& config, const WriterMetrics& metrics);
  ~DerivedWriter();
  DerivedWriter(const DerivedWriter&) = delete;
  DerivedWriter& operator=(const DerivedWriter&) = delete;

  void start();
  /// Takes no more records; what was taken is committed.
  void stop_intake();
  /// True once nothing taken is uncommitted, after stop_intake().
  [[nodiscard]] bool is_drained() const { return drained_; }
  /// Leaves the group and ends the thread.
  void join();

  /// One sentence for /readyz. Thread-safe.
  [[nodiscard]] std::string detail() const;

 private:
  enum class Outcome {
    kDone,
    kAgain,   ///< at once: a refused record was taken out
    kRetry,   ///< after a pause
    kReopen,  ///< the batch is void: the database says where to go on
  };
  struct Part {
    std::int32_t generation = 0;
    std::int64_t next_offset = 0;
  };

  void run();
  void read(kafka::Consumer& consumer);
  [[nodiscard]] bool step(kafka::Consumer& consumer);
  [[nodiscard]] Result<std::vector<kafka::Position>> assigned(std::span<const kafka::TopicPartition> partitions);
  [[nodiscard]] Result<std::vector<kafka::Position>> positions_of(std::span<const kafka::TopicPartition> partitions);
  [[nodiscard]] Result<Part> begin_of(const kafka::TopicPartition& where, const OffsetRow& row,
                                      std::string_view cluster_id, const kafka::Watermarks& log);
  void drop();
  [[nodiscard]] Status reopen(kafka::Consumer& consumer, std::string_view why);
  [[nodiscard]] bool on_fault(kafka::Consumer& consumer, const kafka::Polled& polled);
  void take(kafka::Record record);
  void add_row(kafka::Record record);
  DerivedBatch::Slice* moved_on(const kafka::TopicPartition& where, std::int64_t next_offset);
  void flow(kafka::Consumer& consumer);
  [[nodiscard]] bool is_full() const;
  [[nodiscard]] bool is_due() const;
  [[nodiscard]] bool store_if_due(kafka::Consumer& consumer);
  [[nodiscard]] Outcome try_store();
  [[nodiscard]] Outcome after_failure(const Error& error);
  Outcome try_later(const Error& error, observability::Level level);
  [[nodiscard]] Status bury();
  [[nodiscard]] Status send_dead();
  void committed(const DerivedCounts& counts);
  void note_lag(const kafka::Consumer& consumer);
  void note(std::string detail);

  const Config& config_;
  const WriterMetrics& metrics_;
  observability::Logger log_{"derived"};
  observability::LogLimiter limiter_;
  DerivedStore store_;
  kafka::SyncProducer producer_;  // of dead letters
  std::map<kafka::TopicPartition, Part> parts_;
  std::map<kafka::TopicPartition, std::int64_t> committed_;
  DerivedBatch batch_;
  std::size_t buried_in_batch_ = 0;
  bool paused_ = false;
  Backoff retry_;
  std::chrono::steady_clock::time_point next_try_{};
  std::chrono::steady_clock::time_point housekeeping_{};

  mutable std::mutex detail_mutex_;
  std::string detail_ = "not begun";  // guarded by detail_mutex_
  std::atomic<bool> stopping_{false};
  std::atomic<bool> drained_{false};
  std::atomic<bool> leaving_{false};
  std::jthread thread_;
};

}  // namespace millrace::writer
