#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <span>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <millrace/kafka/consumer.hpp>
#include <millrace/observability/log.hpp>

#include "delivery/dispatcher.hpp"
#include "log/progress_store.hpp"
#include "log/webhook_table.hpp"
#include "notifier_config.hpp"
#include "notifier_metrics.hpp"

namespace millrace::notifier {

/// The first reader: member of the consumer group, hands every event of its partitions to the dispatcher in the order
/// of the log and never waits for a receiver.
class AlertReader {
 public:
  AlertReader(const Config& config, const WebhookTable& webhooks, ProgressStore& store, Dispatcher& dispatcher,
              const NotifierMetrics& metrics);
  ~AlertReader();
  AlertReader(const AlertReader&) = delete;
  AlertReader& operator=(const AlertReader&) = delete;

  void start();
  /// Takes no more events, but stays in the group, so that the partitions' progress can still be kept.
  void stop_intake();
  /// Writes the progress, leaves the group, ends the thread.
  void stop();

  struct State {
    bool ok = false;
    std::string detail;
  };
  [[nodiscard]] State state() const;

 private:
  void run(const std::stop_token& stop);
  void read(kafka::Consumer& consumer, const std::stop_token& stop);
  [[nodiscard]] Result<std::vector<kafka::Position>> assigned(std::span<const kafka::TopicPartition> partitions);
  void revoked(kafka::Revocation how);
  void take(const kafka::Record& record);
  /// False: end this consumer and make another.
  [[nodiscard]] bool on_fault(const kafka::Polled& polled);
  void note(bool ok, std::string detail);

  const Config& config_;
  const WebhookTable& webhooks_;
  ProgressStore& store_;
  Dispatcher& dispatcher_;
  const NotifierMetrics& metrics_;
  observability::Logger log_{"reader"};
  observability::LogLimiter faults_;
  observability::LogLimiter invalid_;
  std::vector<std::int32_t> partitions_;  // reader's thread
  std::atomic<bool> taking_{true};
  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  State state_;  // guarded by mutex_
  std::jthread thread_;
};

}  // namespace millrace::notifier
