#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include <millrace/base/result.hpp>

namespace millrace::rpc {

/// Threads for blocking work (SQL), with a bounded queue. Thread-safe. A job must not throw and is told nothing about
/// the pool's end: it bounds itself by its call's deadline.
class WorkerPool {
 public:
  struct Options {
    std::size_t threads = 4;
    std::size_t queue = 256;  ///< jobs waiting, not counting those running
  };

  explicit WorkerPool(const Options& options);
  ~WorkerPool();  ///< runs what was accepted, then joins
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  /// False if the queue is full or the pool is stopping; then the job will not run. Never blocks.
  [[nodiscard]] bool try_submit(std::function<void()> job);

  /// Takes no more jobs and waits until all accepted ones are done, or kUnavailable at the deadline (they go on).
  [[nodiscard]] Status drain(std::chrono::steady_clock::time_point deadline);

  [[nodiscard]] std::size_t waiting() const;
  [[nodiscard]] std::size_t running() const;
  [[nodiscard]] const Options& options() const { return options_; }

 private:
  void work();

  const Options options_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable idle_;
  std::deque<std::function<void()>> jobs_;
  std::size_t running_ = 0;
  bool stopping_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace millrace::rpc
