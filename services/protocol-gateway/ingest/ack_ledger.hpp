#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <millrace/kafka/sync_producer.hpp>
#include <millrace/observability/log.hpp>
#include <millrace/telemetry/batch.hpp>

#include "ingest/ack_tally.hpp"

namespace millrace::gateway {

/// Publishes about once a second how much was acknowledged (topic `ledger`), on a thread of its own. A process that
/// dies takes the last second with it: the ledger never says more than was acknowledged.
class AckLedger {
 public:
  struct Counted {
    std::int32_t partition = 0;
    AckTally::Hour hour;
    bool refused = false;  ///< payloads kept in telemetry.dead, by its partitions and the gateway's clock
  };
  /// Appends what has grown since the last call; any thread.
  using Collect = std::function<void(std::vector<Counted>&)>;

  struct Options {
    kafka::Settings kafka;
    std::string topic;      ///< `ledger`
    std::string telemetry;  ///< whose records are counted
    std::string dead;       ///< whose records are the refused payloads
    std::chrono::milliseconds interval{1'000};
  };
  AckLedger(Options options, const telemetry::StartId& start, Collect collect);
  ~AckLedger();  ///< stop()
  AckLedger(const AckLedger&) = delete;
  AckLedger& operator=(const AckLedger&) = delete;

  void start();
  /// Publishes the rest, at most about three seconds, and ends the thread.
  void stop();

 private:
  void run(const std::stop_token& stop);
  [[nodiscard]] bool publish();

  Options options_;
  telemetry::StartId start_;
  Collect collect_;
  observability::Logger log_{"ledger"};
  observability::LogLimiter limiter_;
  kafka::SyncProducer producer_;
  std::map<std::string, kafka::OutgoingRecord> waiting_;  // by key; the thread's own
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::jthread thread_;
};

}  // namespace millrace::gateway
