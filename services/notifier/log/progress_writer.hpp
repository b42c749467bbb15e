#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <thread>

#include <millrace/observability/log.hpp>

#include "delivery/dispatcher.hpp"
#include "log/progress_store.hpp"
#include "notifier_metrics.hpp"

namespace millrace::notifier {

/// Writes at an interval what changed. What it has not written when the process dies is sent again.
class ProgressWriter {
 public:
  ProgressWriter(std::chrono::milliseconds interval, ProgressStore& store, Dispatcher& dispatcher,
                 const NotifierMetrics& metrics);
  ~ProgressWriter();
  ProgressWriter(const ProgressWriter&) = delete;
  ProgressWriter& operator=(const ProgressWriter&) = delete;

  void start();
  /// Ends the thread; nothing further is written.
  void stop();
  /// Writes now; blocks as ProgressStore::write.
  [[nodiscard]] Status write();

 private:
  void run(const std::stop_token& stop);

  std::chrono::milliseconds interval_;
  ProgressStore& store_;
  Dispatcher& dispatcher_;
  const NotifierMetrics& metrics_;
  observability::Logger log_{"progress"};
  observability::LogLimiter faults_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::jthread thread_;
};

}  // namespace millrace::notifier
