#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <thread>

#include <millrace/base/result.hpp>
#include <millrace/observability/log.hpp>
#include <millrace/observability/metrics.hpp>

#include "log/worker_state.hpp"

namespace millrace::stream {

/// A thread that works on its share of the partitions, in one session after another.
class Worker : public std::enable_shared_from_this<Worker> {
 public:
  /// One life of the worker: until `stopping` (then ok) or until something fails. Runs on the worker's thread.
  using Session = std::function<Status(WorkerState& state, const std::atomic<bool>& stopping)>;
  /// Whether a session may begin: asked again and again until then.
  using Ready = std::function<bool()>;

  Worker(Session session, Ready ready, observability::Counter restarts);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Once; join() or abandon() must follow before the last reference goes.
  void start();
  /// Takes no more records; what was processed is committed.
  void stop() { stopping_ = true; }
  /// True once the last commit is done or was given up.
  [[nodiscard]] bool is_done() const { return done_; }
  /// Started and not done.
  [[nodiscard]] bool is_running() const { return thread_.joinable() && !done_; }
  void join();
  /// Its thread hangs in a call that nobody can end. It is left alone, which counts as a restart: should it come back,
  /// it ends without another session.
  void abandon();

  [[nodiscard]] WorkerState::Report report() const { return state_.report(); }
  [[nodiscard]] WorkerState::Clock::duration silence() const { return state_.silence(); }

 private:
  void run();
  [[nodiscard]] bool wait_until_ready();

  Session session_;
  Ready ready_;
  observability::Counter restarts_;
  observability::Logger log_{"worker"};
  observability::LogLimiter limiter_;
  WorkerState state_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> done_{false};
  std::thread thread_;
};

}  // namespace millrace::stream
