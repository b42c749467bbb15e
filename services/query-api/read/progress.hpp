#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include <millrace/base/time.hpp>
#include <millrace/kafka/settings.hpp>
#include <millrace/observability/log.hpp>
#include <millrace/observability/metrics.hpp>
#include <millrace/postgres/pool.hpp>
#include <millrace/runtime/health.hpp>

namespace millrace::query_api {

/// What one partition's offset row said.
struct PartitionProgress {
  std::int64_t next_offset = 0;
  std::int64_t latest_offset = 0;
  TimeUs log_time = 0;  ///< every record below next_offset was appended at or before it, every other one not before it
};

/// How far `latest` surely is, in log time: remembers which log time belonged to which offset. Pure, not thread-safe.
class AsOf {
 public:
  void note(const PartitionProgress& seen);
  /// 0: not known yet.
  [[nodiscard]] TimeUs value() const { return as_of_; }

 private:
  std::deque<PartitionProgress> waiting_;  // beyond latest_offset when they were seen
  TimeUs as_of_ = 0;
};

/// Reads the offset rows twice a second on a thread of its own: as_of for Latest, and whether the database answers.
class Progress {
 public:
  Progress(postgres::Pool& pool, kafka::Settings kafka, std::string topic, observability::Metrics& metrics);
  ~Progress();  ///< stop()
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void start();
  void stop();

  /// For the partition of a device's records; 0: not known.
  [[nodiscard]] TimeUs as_of(std::string_view tenant, std::string_view device) const;
  /// For the records of all devices; 0: not known of every partition.
  [[nodiscard]] TimeUs as_of_all() const;
  /// Where the device's records are; none: the number of partitions is not known yet.
  [[nodiscard]] std::optional<std::int32_t> partition(std::string_view tenant, std::string_view device) const;
  [[nodiscard]] runtime::CheckResult database_check() const;

 private:
  void run(const std::stop_token& stop);
  [[nodiscard]] Status read_once();
  void learn_partitions();

  postgres::Pool& pool_;
  kafka::Settings kafka_;
  std::string topic_;
  observability::Gauge database_up_;
  observability::Logger log_{"progress"};
  observability::LogLimiter limiter_;

  mutable std::mutex mutex_;
  std::map<std::int32_t, AsOf> partitions_;
  std::map<std::int32_t, std::int64_t> generations_;
  int partition_count_ = 0;
  runtime::CheckResult database_{false, "not asked yet"};
  std::jthread thread_;
};

}  // namespace millrace::query_api
