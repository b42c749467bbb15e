#pragma once

#include <atomic>
#include <thread>

#include "log/session.hpp"

namespace millrace::stream {

/// A thread that works on its share of the partitions, in one session after another.
class Worker {
 public:
  Worker(const Config& config, int number, RuleFeed& rules, const telemetry_log::LogGenerations& generations,
         const StreamMetrics& metrics);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void start();
  /// Takes no more records; what was processed is committed.
  void stop() { stopping_ = true; }
  /// True once the last commit is done or was given up.
  [[nodiscard]] bool is_done() const { return done_; }
  void join();

  [[nodiscard]] WorkerState::Report report() const { return state_.report(); }

 private:
  void run();
  [[nodiscard]] bool wait_for_copies();

  const Config& config_;
  std::string member_;
  RuleFeed& rules_;
  const telemetry_log::LogGenerations& generations_;
  const StreamMetrics& metrics_;
  observability::Logger log_{"worker"};
  observability::LogLimiter limiter_;
  WorkerState state_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> done_{false};
  std::thread thread_;
};

}  // namespace millrace::stream
