#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include <millrace/observability/log.hpp>
#include <millrace/telemetry_log/stored_position.hpp>

#include "gateway_metrics.hpp"
#include "ingest/publisher.hpp"
#include "io/settlement.hpp"

namespace millrace::gateway {

/// Answers of ack level `stored`: they wait here, in place of their records, from the delivery report until
/// storage-writer has passed them. Bounded in number; who went away or gave up is forgotten within seconds.
/// Thread-safe; takes one lock, which no message of level `bus` ever meets.
class StoredAnswers {
 public:
  using Clock = std::chrono::steady_clock;
  using Settle = std::function<void(std::vector<Settlement>)>;

  /// `settle` is called without the lock, on the threads of hold() and take(). About 120 bytes for each waiting answer.
  StoredAnswers(std::size_t most, const GatewayMetrics& metrics, Settle settle)
      : most_(most), metrics_(metrics), settle_(std::move(settle)) {}

  /// Nothing more may be produced that would wait.
  [[nodiscard]] bool full() const { return count_.load(std::memory_order_relaxed) >= most_; }

  /// To be taken before a record is produced, and given back with its report.
  [[nodiscard]] StoredMark mark(std::int32_t partition) const;

  struct Held {
    Settlement settlement;  ///< of the delivery report: kAcknowledged
    StoredMark mark;
  };
  /// Each gets kStored, kNotStored or kUnknown in the end, unless its deadline comes first; whoever has to wait gets
  /// kInLog before that.
  void hold(std::vector<Held> held);

  /// What storage-writer says of a partition.
  void take(telemetry_log::StoredPosition position);

 private:
  using Position = telemetry_log::StoredPosition;
  struct Waiting {
    std::weak_ptr<AckSink> sink;  // a connection that is over is not kept for it
    std::uint64_t token = 0;
    Clock::time_point until;
    telemetry::Receipt receipt;
  };
  struct Partition {
    Position position;
    std::map<std::int64_t, Waiting> waiting;  // by offset
  };

  void hold_one(Held& held, std::vector<Settlement>& now);
  [[nodiscard]] Outcome outcome(const Position& position, const telemetry::Receipt& receipt) const;
  [[nodiscard]] Outcome unknown() const;
  void sweep(Clock::time_point now);
  void recount();

  std::size_t most_;
  const GatewayMetrics& metrics_;
  Settle settle_;
  observability::Logger log_{"stored_answers"};
  observability::LogLimiter limiter_;
  std::atomic<std::size_t> count_{0};
  mutable std::mutex mutex_;
  std::map<std::int32_t, Partition> partitions_;  // guarded by mutex_, as the next
  Clock::time_point swept_{};
};

}  // namespace millrace::gateway
