#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>
#include <millrace/kafka/admin.hpp>
#include <millrace/kafka/consumer.hpp>
#include <millrace/observability/log.hpp>
#include <millrace/storage_schema/log_position.hpp>
#include <millrace/telemetry_log/replay_start.hpp>

#include "writer_config.hpp"
#include "writer_metrics.hpp"

namespace millrace::writer {

/// Who still needs what of one partition.
struct LogNeed {
  storage_schema::OffsetRow stored;
  std::int64_t processed = -1;  ///< stream-processing's committed offset; below 0: none
  std::optional<telemetry_log::ReplayStart> replay;
};

/// Records appended before this time may go, as far as time says it: they are older than `keep`, and, where positions
/// are known, a day older than what either reader had come to: more than they read again to recognise copies.
[[nodiscard]] TimeUs removable_before(const LogNeed& need, TimeUs now, std::chrono::hours keep);

/// First offset that must stay, given the first record that is younger than that; none: nothing may go. Pure.
[[nodiscard]] std::optional<std::int64_t> first_needed(const LogNeed& need, std::int64_t first_younger);

/// Removes records of `telemetry` that are stored, processed and old (DeleteRecords): the broker itself keeps all. Any
/// writer does it for all partitions; twice is once. On a thread of its own.
class LogTrimmer {
 public:
  LogTrimmer(const Config& config, const WriterMetrics& metrics);
  ~LogTrimmer();  ///< stop()
  LogTrimmer(const LogTrimmer&) = delete;
  LogTrimmer& operator=(const LogTrimmer&) = delete;

  void start();
  void stop();  ///< up to some seconds, while Kafka does not answer
  /// One sentence for /readyz. Thread-safe.
  [[nodiscard]] std::string detail() const;

  /// One look at all partitions; start() does it once in an interval. Blocking.
  [[nodiscard]] Status pass(TimeUs now);

 private:
  struct Clients;
  void run(const std::stop_token& stop);
  void note(std::string detail);
  [[nodiscard]] Result<bool> trim(Clients& clients, std::int32_t partition, const LogNeed& need, TimeUs now);
  /// Offset of the first record that was appended at `time` or later.
  [[nodiscard]] Result<std::int64_t> first_since(Clients& clients, const kafka::TopicPartition& where, TimeUs time,
                                                 const kafka::Watermarks& log);
  [[nodiscard]] Result<bool> positions_fit(const Clients& clients, std::int32_t partition, const LogNeed& need,
                                           const kafka::Watermarks& log);

  const Config& config_;
  const WriterMetrics& metrics_;
  observability::Logger log_{"log_trimmer"};
  observability::LogLimiter limiter_;
  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  std::string detail_ = "no look yet";  // guarded by mutex_
  std::jthread thread_;
};

}  // namespace millrace::writer
