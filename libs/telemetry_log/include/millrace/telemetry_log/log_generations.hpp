#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>

#include <millrace/kafka/settings.hpp>
#include <millrace/kafka/topic_follower.hpp>
#include <millrace/observability/log.hpp>
#include <millrace/runtime/health.hpp>
#include <millrace/telemetry_log/stored_position.hpp>

namespace millrace::telemetry_log {

/// Which generation of the log each partition of `telemetry` is in: part of every receipt, so that one given before the
/// log was cut never answers for the record that has its offset now. Fed by the topic storage-progress.
class LogGenerations {
 public:
  LogGenerations(kafka::Settings settings, std::string progress_topic, std::string telemetry_topic);

  /// Called on the follower's thread with every position that a partition of `telemetry` has reached, after of()
  /// already tells its generation; must not block. Before start().
  void on_position(std::function<void(StoredPosition)> callback) { on_position_ = std::move(callback); }

  void start() { follower_.start(); }
  void stop() { follower_.stop(); }

  /// 0 until another one is known. Thread-safe, one load.
  [[nodiscard]] std::int32_t of(std::int32_t partition) const {
    const auto at = static_cast<std::size_t>(partition);
    return at < generations_.size() ? generations_[at].load(std::memory_order_relaxed) : 0;
  }

  struct Generation {
    std::int32_t number = 0;
    std::int64_t from = 0;  ///< its first offset
  };
  /// The same with its beginning. Thread-safe.
  [[nodiscard]] Generation generation(std::int32_t partition) const;

  /// False until all that was ever announced is known: a receipt given before could be of the wrong generation.
  [[nodiscard]] bool ready() const { return follower_.ready(); }

  [[nodiscard]] runtime::CheckResult check() const;

 private:
  static constexpr std::size_t kMostPartitions = 10'000;  // as `millrace admin topics`

  void take(const kafka::Record& record);

  std::string telemetry_topic_;
  std::function<void(StoredPosition)> on_position_;
  observability::Logger log_{"log_generations"};
  observability::LogLimiter limiter_;
  std::array<std::atomic<std::int32_t>, kMostPartitions> generations_{};
  mutable std::mutex mutex_;
  std::map<std::int32_t, Generation> begins_;  // guarded by mutex_
  kafka::TopicFollower follower_;              // last: its thread uses all of the above
};

}  // namespace millrace::telemetry_log
