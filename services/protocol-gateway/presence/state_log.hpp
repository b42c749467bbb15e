#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>

#include <millrace/kafka/producer.hpp>
#include <millrace/kafka/sync_producer.hpp>
#include <millrace/observability/log.hpp>
#include <millrace/runtime/lifecycle.hpp>

namespace millrace::gateway {

struct StateLogOptions {
  kafka::Settings kafka;
  std::string topic;
  /// How long a record waits for company: a storm of reconnects is one request for each partition and pause.
  double linger_ms = 3;
  std::size_t max_records = 200'000;             ///< without a report; beyond it nothing is taken
  std::chrono::milliseconds stall_after{2'000};  ///< oldest record without a report: from then on not accepting()
  std::chrono::milliseconds metadata_timeout{5'000};
};

/// A gateway's way into one compacted topic: records in order, each kept until Kafka has it, produced again (in their
/// order) after a fatal producer error, so that a record may stand there twice. Thread-safe; nothing blocks but stop()
/// and drain().
class StateLog {
 public:
  /// Where the record is, or kUnavailable / kTooLarge (surely not written) or kUnknownOutcome. On the producer's
  /// thread, or on that of stop(); must not block.
  using Done = std::function<void(const Result<kafka::RecordCoordinate>&)>;

  explicit StateLog(StateLogOptions options);
  ~StateLog();  ///< stop()
  StateLog(const StateLog&) = delete;
  StateLog& operator=(const StateLog&) = delete;

  /// Connects in the background, for as long as it takes.
  void start();
  /// Ends producer and supervisor. Records without a report get kUnknownOutcome.
  void stop();
  /// Waits until every record has its report, or the deadline: then an error with how many have none.
  [[nodiscard]] Status drain(runtime::Deadline deadline);

  /// Connected, and reports come. What must be written anyway is taken also while it is false.
  [[nodiscard]] bool accepting() const { return accepting_.load(std::memory_order_relaxed); }
  /// Partition count; 0 until the first connection.
  [[nodiscard]] int partitions() const { return partitions_.load(std::memory_order_acquire); }

  /// `value` none: a tombstone. An Error: not taken, `done` will not be called. Needs partitions() > 0.
  [[nodiscard]] Status write(int partition, std::string key, std::optional<std::string> value, Done done);

 private:
  struct Entry {
    int partition = 0;
    std::string key;
    std::optional<std::string> value;
    Done done;
    std::chrono::steady_clock::time_point taken;
    bool settled = false;
  };

  [[nodiscard]] static Status produce(kafka::Producer& producer, Entry& entry);
  void on_reports(std::span<const kafka::DeliveryReport> reports);
  void supervise(const std::stop_token& stop);
  [[nodiscard]] bool connect();
  void disconnect();
  void update_accepting();

  StateLogOptions options_;
  observability::Logger log_{"state_log"};
  observability::LogLimiter limiter_;
  std::atomic<int> partitions_{0};
  std::atomic<bool> accepting_{false};

  std::mutex mutex_;
  std::condition_variable_any changed_;
  kafka::Producer* usable_ = nullptr;  // null while there is none: records wait
  std::deque<std::unique_ptr<Entry>> window_;
  bool fatal_ = false;

  std::unique_ptr<kafka::Producer> producer_;  // supervisor's thread only
  std::jthread supervisor_;
};

}  // namespace millrace::gateway
