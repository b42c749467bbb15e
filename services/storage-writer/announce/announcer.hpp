#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include <millrace/kafka/sync_producer.hpp>
#include <millrace/observability/log.hpp>
#include <millrace/storage/v1/progress.pb.h>

namespace millrace::writer {

/// The record that says how far a partition is stored.
[[nodiscard]] kafka::OutgoingRecord record_of(const std::string& topic, const storage::v1::Progress& progress);

/// Publishes positions after commits, on a thread of its own, so that no transaction waits for Kafka. Holds the newest
/// of each partition until Kafka has it; older ones need not be said any more. Thread-safe.
class Announcer {
 public:
  /// `topic` is storage-progress.
  Announcer(const kafka::Settings& settings, std::string topic);
  ~Announcer();  ///< stop()
  Announcer(const Announcer&) = delete;
  Announcer& operator=(const Announcer&) = delete;

  void start();
  /// Tries once more to send what waits, at most ten seconds: whoever takes the partitions next says it anyway.
  void stop();

  void publish(storage::v1::Progress progress);
  /// What waits is void: the partitions are taken anew, and what follows says more.
  void forget();

 private:
  using Waiting = std::map<std::int32_t, storage::v1::Progress>;  // by partition

  void run(const std::stop_token& stop);
  [[nodiscard]] bool send(Waiting& waiting);

  std::string topic_;
  observability::Logger log_{"announcer"};
  observability::LogLimiter limiter_;
  kafka::SyncProducer producer_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  Waiting waiting_;  // guarded by mutex_
  std::jthread thread_;
};

}  // namespace millrace::writer
