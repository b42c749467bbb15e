#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include <millrace/kafka/consumer.hpp>
#include <millrace/kafka/transaction.hpp>
#include <millrace/observability/log.hpp>

#include "log/opener.hpp"
#include "log/transaction_outputs.hpp"
#include "log/worker_state.hpp"
#include "stream_metrics.hpp"

namespace millrace::stream {

/// One life of a worker: a consumer and a transactional producer, from joining the group to the first failure. A
/// failure costs nothing but a restart: the next session reads the committed positions and the log again.
class Session {
 public:
  struct Parts {
    const Config& config;
    std::string member;  ///< group.instance.id and transactional.id
    RuleFeed& rules;
    const telemetry_log::LogGenerations& generations;
    const StreamMetrics& metrics;
    WorkerState& state;
    const std::atomic<bool>& stopping;
  };
  explicit Session(const Parts& parts);
  /// Leaves the group; what is not committed is given up.
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Works until `stopping`, then commits and leaves the group: ok. Or until something fails.
  [[nodiscard]] Status run();

 private:
  using Clock = std::chrono::steady_clock;

  [[nodiscard]] Status join();
  [[nodiscard]] Result<std::vector<kafka::Position>> assigned(std::span<const kafka::TopicPartition> partitions);
  void revoked(kafka::Revocation how);
  [[nodiscard]] Status step();
  [[nodiscard]] Status on_fault(const kafka::Polled& polled);
  [[nodiscard]] Status take(const kafka::Record& record);
  [[nodiscard]] Status check_log();
  void stop_partition(PartitionRun& run, const std::string& why);
  [[nodiscard]] Status check_generations() const;
  void apply_rules();
  void tick_idle();
  [[nodiscard]] bool is_commit_due() const;
  [[nodiscard]] Clock::time_point urgent_from() const;
  [[nodiscard]] std::chrono::milliseconds patience() const;
  [[nodiscard]] Status commit();
  void count_commit(Clock::time_point begun);
  void count(const PartitionRun& run, const TaskCounts& before);
  void show();

  Parts parts_;
  observability::Logger log_{"worker"};
  observability::LogLimiter limiter_;
  kafka::TransactionalProducer producer_;
  kafka::Consumer consumer_;
  TransactionOutputs outputs_;
  Opener opener_;
  PartitionRun::Decoder decoder_;
  PartitionRuns runs_;
  std::map<std::int32_t, Clock::time_point> at_end_;  // since when a partition has no more records
  std::map<std::int32_t, Clock::time_point> opened_;  // partitions that are not live yet
  std::uint64_t book_version_ = 0;
  std::uint64_t losses_seen_ = 0;
  std::size_t uncommitted_ = 0;  // records
  Clock::time_point committed_at_{};
  Clock::duration commit_took_{};
  Clock::time_point begun_at_{};  // of the open transaction
  Clock::time_point housekeeping_{};
  Status failed_;         // in a callback
  bool leaving_ = false;  // the callbacks have nothing to do any more
};

}  // namespace millrace::stream
