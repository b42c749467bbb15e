#pragma once

#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <thread>

#include <millrace/kafka/consumer.hpp>
#include <millrace/observability/log.hpp>

#include "delivery/dispatcher.hpp"
#include "notifier_config.hpp"
#include "notifier_metrics.hpp"

namespace millrace::notifier {

/// The second reader: reads stretches of `alerts` again for tenants that are behind, in turn, each as far as the
/// tenant's queue has room or its part of the log reaches.
class BacklogReader {
 public:
  BacklogReader(const Config& config, Dispatcher& dispatcher, const NotifierMetrics& metrics);
  ~BacklogReader();
  BacklogReader(const BacklogReader&) = delete;
  BacklogReader& operator=(const BacklogReader&) = delete;

  void start();
  void stop();

 private:
  void run(const std::stop_token& stop);
  /// False: end this consumer and make another.
  [[nodiscard]] bool read(kafka::Consumer& consumer, const BacklogJob& job, const std::stop_token& stop);
  /// False: the job ends.
  [[nodiscard]] bool take(const BacklogJob& job, const kafka::Record& record);

  const Config& config_;
  Dispatcher& dispatcher_;
  const NotifierMetrics& metrics_;
  observability::Logger log_{"backlog"};
  observability::LogLimiter faults_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::jthread thread_;
};

}  // namespace millrace::notifier
