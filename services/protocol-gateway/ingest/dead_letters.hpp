#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <millrace/kafka/sync_producer.hpp>
#include <millrace/observability/log.hpp>

#include "gateway_metrics.hpp"
#include "ingest/ack_ledger.hpp"
#include "ingest/publisher.hpp"
#include "io/settlement.hpp"

namespace millrace::gateway {

struct DeadLetterOptions {
  kafka::Settings kafka;
  std::string topic;
  std::size_t max_queued = 1000;
  std::size_t max_queued_bytes = 16ULL * 1024 * 1024;
  std::size_t batch = 100;
  std::chrono::milliseconds timeout{10'000};
};

/// Keeps refused payloads in `telemetry.dead`: a bounded queue and a thread of its own, so that a flood of bad payloads
/// costs the good ones nothing but the queue. Tries until Kafka has them.
class DeadLetters final : public RefusedPayloads {
 public:
  using Settle = std::function<void(std::vector<Settlement>)>;

  DeadLetters(DeadLetterOptions options, GatewayMetrics& metrics, Settle settle);
  ~DeadLetters() override;  ///< stop()
  DeadLetters(const DeadLetters&) = delete;
  DeadLetters& operator=(const DeadLetters&) = delete;

  void start();
  /// Ends the thread after its current try; what is queued gets kUnknown.
  void stop();
  /// Waits until the queue is empty or the deadline has passed.
  [[nodiscard]] Status drain(std::chrono::steady_clock::time_point deadline);

  [[nodiscard]] Status keep(Refused refused) override;

  /// Appends how many were kept, as far as it has grown since the last call; any thread.
  void collect_kept(std::vector<AckLedger::Counted>& out);

 private:
  void run(const std::stop_token& stop);
  [[nodiscard]] std::vector<Refused> take(const std::stop_token& stop);
  [[nodiscard]] bool write(kafka::SyncProducer& producer, std::vector<Refused>& batch);

  DeadLetterOptions options_;
  GatewayMetrics& metrics_;
  Settle settle_;
  observability::Logger log_{"dead_letters"};
  observability::LogLimiter limiter_;

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<Refused> queue_;
  std::size_t bytes_ = 0;
  std::size_t writing_ = 0;
  std::map<std::int32_t, AckTally> kept_;  // by partition
  std::jthread thread_;
};

}  // namespace millrace::gateway
