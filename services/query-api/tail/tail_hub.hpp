#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/kafka/consumer.hpp>
#include <millrace/observability/log.hpp>
#include <millrace/observability/metrics.hpp>
#include <millrace/telemetry/batch.hpp>

#include "tail/tail_reader.hpp"

namespace millrace::query_api {

struct TailOptions {
  kafka::Settings kafka;
  std::string topic;
  std::size_t most_readers = 1'000;
  std::size_t queue_readings = 10'000;
  std::size_t queue_bytes = 4 << 20;
};

/// One consumer for all tails: reads the log from its end while anybody listens and hands each record to whom it
/// belongs. Thread-safe.
class TailHub {
 public:
  TailHub(TailOptions options, observability::Metrics& metrics);
  ~TailHub();  ///< stop()
  TailHub(const TailHub&) = delete;
  TailHub& operator=(const TailHub&) = delete;

  void start();
  void stop();

  /// kThrottled at the limit of readers. The reader becomes live (see TailReader) once the hub reads from a position at
  /// or before the log's end of now.
  [[nodiscard]] Result<std::shared_ptr<TailReader>> add(TailFilter filter);
  void remove(const std::shared_ptr<TailReader>& reader);

 private:
  using Readers = std::vector<std::shared_ptr<TailReader>>;

  void run(const std::stop_token& stop);
  [[nodiscard]] Status open(kafka::Consumer& consumer);
  void follow(kafka::Consumer& consumer, const std::stop_token& stop);
  void set_all_live();
  void deliver(const kafka::Record& record);
  [[nodiscard]] Readers readers_of(std::string_view tenant, std::string_view device) const;
  [[nodiscard]] bool nobody() const;

  TailOptions options_;
  observability::Gauge readers_gauge_;
  observability::Counter readings_total_;
  observability::Logger log_{"tail"};
  observability::LogLimiter limiter_;
  telemetry::BatchCodec codec_;
  telemetry::Batch batch_;

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  // By tenant and device, see key_of(): each record costs the readers that want it, not all that there are.
  std::unordered_map<std::string, Readers> by_device_;
  std::size_t count_ = 0;
  bool following_ = false;
  std::jthread thread_;
};

}  // namespace millrace::query_api
