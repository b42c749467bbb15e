#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

namespace millrace::stream {

/// What a worker shows to the outside. Thread-safe.
class WorkerState {
 public:
  using Clock = std::chrono::steady_clock;

  struct Figures {
    std::size_t partitions = 0;
    std::size_t stopped = 0;
    std::size_t open_windows = 0;
    std::size_t open_alerts = 0;
    std::size_t devices = 0;
    std::int64_t lag_records = 0;
    std::uint64_t uncommitted = 0;  ///< results
  };
  struct Report {
    bool ok = false;
    std::string detail;
    Figures figures;
  };

  void note(bool ok, std::string detail) {
    const std::scoped_lock lock(mutex_);
    report_.ok = ok;
    report_.detail = std::move(detail);
  }
  void note(const Figures& figures) {
    const std::scoped_lock lock(mutex_);
    report_.figures = figures;
  }
  [[nodiscard]] Report report() const {
    const std::scoped_lock lock(mutex_);
    return report_;
  }

  /// The worker goes on: to be called before and after everything that may take long.
  void beat() { beat_.store(Clock::now().time_since_epoch().count(), std::memory_order_relaxed); }
  /// Since the last beat.
  [[nodiscard]] Clock::duration silence() const {
    return Clock::now().time_since_epoch() - Clock::duration(beat_.load(std::memory_order_relaxed));
  }

 private:
  mutable std::mutex mutex_;
  Report report_;  // guarded by mutex_
  std::atomic<Clock::rep> beat_{Clock::now().time_since_epoch().count()};
};

}  // namespace millrace::stream
