#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <millrace/kafka/producer.hpp>
#include <millrace/observability/log.hpp>
#include <millrace/runtime/health.hpp>
#include <millrace/runtime/lifecycle.hpp>
#include <millrace/telemetry_log/log_generations.hpp>

#include "gateway_metrics.hpp"
#include "ingest/ack_ledger.hpp"
#include "ingest/publisher.hpp"
#include "ingest/stored_answers.hpp"
#include "io/settlement.hpp"

namespace millrace::gateway {

struct PublisherOptions {
  kafka::Settings kafka;
  std::string topic;
  double linger_ms = 0.5;
  std::size_t max_in_flight_bytes = 256ULL * 1024 * 1024;
  std::chrono::milliseconds stall_after{2000};  ///< oldest record without a report: from then on nothing new is taken
  std::chrono::milliseconds metadata_timeout{5000};
};

/// Telemetry's way into Kafka. Keeps every record until its report, gives ingest counters in produce order, and after a
/// fatal producer error produces everything unreported again, in counter order, before anything newer.
class KafkaPublisher final : public RecordPublisher {
 public:
  using Settle = std::function<void(std::vector<Settlement>)>;

  /// `settle` is called on the producer's thread with each array of reports; `metrics` and `generations` must outlive
  /// the publisher.
  KafkaPublisher(PublisherOptions options, GatewayMetrics& metrics, const telemetry_log::LogGenerations& generations,
                 Settle settle);
  ~KafkaPublisher() override;
  KafkaPublisher(const KafkaPublisher&) = delete;
  KafkaPublisher& operator=(const KafkaPublisher&) = delete;

  /// Called on the supervisor's thread whenever accepting() has become true or crowded() false.
  /// Before start().
  void on_accepting(std::function<void()> callback) { on_accepting_ = std::move(callback); }

  /// Where answers of ack level `stored` wait; without it they are given as those of `bus`. Must outlive the publisher.
  /// Before start().
  void hold_with(StoredAnswers& answers) { answers_ = &answers; }

  /// Connects in the background, for as long as it takes.
  void start();

  /// Waits until nothing is in flight, or the deadline: then an error with how many records have no report.
  [[nodiscard]] Status drain(runtime::Deadline deadline);

  /// Ends producer and supervisor. Records without a report get kUnknown.
  void stop();

  [[nodiscard]] const telemetry::StartId& start_id() const override { return start_id_; }
  [[nodiscard]] bool accepting() const override { return accepting_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool crowded() const override { return crowded_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::size_t room() const override {
    const std::size_t taken = in_flight_bytes();
    return taken >= options_.max_in_flight_bytes ? 0 : options_.max_in_flight_bytes - taken;
  }
  [[nodiscard]] Status submit(std::unique_ptr<InFlight> record) override;
  void take_spare(std::vector<std::unique_ptr<InFlight>>& spare) override;

  [[nodiscard]] std::size_t in_flight_bytes() const { return bytes_.load(std::memory_order_relaxed); }

  /// What was acknowledged since the last call. Any thread.
  void collect_acknowledged(std::vector<AckLedger::Counted>& out);

  /// For /readyz: connected, and whether the clock agrees with the broker's.
  [[nodiscard]] runtime::CheckResult kafka_check() const;
  [[nodiscard]] runtime::CheckResult clock_check() const;

 private:
  // Records of one partition in counter order, from the oldest without a report.
  struct Partition {
    std::mutex mutex;
    kafka::Producer* producer = nullptr;  // null while there is none: records wait
    std::uint64_t next_counter = 1;
    std::deque<std::unique_ptr<InFlight>> window;
    AckTally acknowledged;
  };

  void on_reports(std::span<const kafka::DeliveryReport> reports);
  Outcome settle_record(InFlight& record, const kafka::DeliveryReport& report);
  void release(Partition& partition, std::vector<std::unique_ptr<InFlight>>& freed);
  void count_accepted(std::span<const kafka::DeliveryReport> reports);
  void keep_spare(std::vector<std::unique_ptr<InFlight>> freed);
  void check_clock(const InFlight& record, TimeUs broker_time, TimeUs now);

  void supervise(const std::stop_token& stop);
  bool connect();
  void detach();
  bool produce_again();
  [[nodiscard]] bool stalled() const;
  void update_accepting();

  PublisherOptions options_;
  GatewayMetrics& metrics_;
  const telemetry_log::LogGenerations& generations_;
  Settle settle_;
  std::function<void()> on_accepting_;
  StoredAnswers* answers_ = nullptr;
  observability::Logger log_{"publisher"};
  observability::LogLimiter limiter_;
  telemetry::StartId start_id_{};

  std::vector<std::unique_ptr<Partition>> partitions_;  // made once, by the first connect()
  std::atomic<bool> connected_{false};
  std::atomic<bool> accepting_{false};
  std::atomic<bool> crowded_{false};
  std::atomic<std::size_t> bytes_{0};
  std::atomic<std::size_t> records_{0};
  std::atomic<std::int64_t> clock_skew_us_{0};

  std::mutex spare_mutex_;
  std::vector<std::unique_ptr<InFlight>> spare_;

  std::mutex mutex_;
  std::condition_variable_any wake_;
  bool fatal_ = false;
  std::unique_ptr<kafka::Producer> producer_;  // supervisor's thread only
  std::jthread supervisor_;
};

}  // namespace millrace::gateway
