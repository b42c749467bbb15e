#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/kafka/sync_producer.hpp>
#include <millrace/observability/log.hpp>

#include "delivery/partition_progress.hpp"
#include "notifier_config.hpp"

namespace millrace::notifier {

/// Bytes of notifier.v1.Progress and back.
[[nodiscard]] std::string encode_progress(const Saved& saved);
[[nodiscard]] Result<Saved> decode_progress(std::string_view bytes);

/// The compacted topic `notifier-progress`. Calls block up to a deadline of their own; thread-safe.
class ProgressStore {
 public:
  explicit ProgressStore(const Config& config);

  /// Where each partition of `alerts` goes on: what was kept, or for a partition that nobody ever read its first record
  /// that is not older than the age to which deliveries are tried. kUnavailable: Kafka does not answer.
  [[nodiscard]] Result<std::map<std::int32_t, Saved>> read(const std::vector<std::int32_t>& partitions);

  using Progress = std::map<std::int32_t, Saved>;
  /// Writes what `take` gives. The two are one step: a later write never holds older progress.
  [[nodiscard]] Status write(const std::function<Progress()>& take);

 private:
  [[nodiscard]] Result<Progress> read_kept();
  [[nodiscard]] std::string key_of(std::int32_t partition) const;

  const Config& config_;
  observability::Logger log_{"progress"};
  std::mutex mutex_;
  kafka::SyncProducer producer_;  // guarded by mutex_
};

}  // namespace millrace::notifier
