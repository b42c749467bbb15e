#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <stop_token>

namespace millrace::registry_view {

/// Wakes those who wait for something in the copy whenever the copy changes. Thread-safe.
class ChangeSignal {
 public:
  using Clock = std::chrono::steady_clock;

  /// The copy has changed. Costs one load while nobody waits.
  void notify() {
    if (waiting_.load() == 0) return;
    {
      const std::lock_guard lock(mutex_);
    }  // whoever has looked already waits by now
    changed_.notify_all();
  }

  /// Blocks until `there()`, at most until the deadline or the stop; what it says then. A change that is not seen by
  /// `there()` comes after the caller was counted, so its notify() finds it.
  template <typename Predicate>
  [[nodiscard]] bool wait(Clock::time_point deadline, const std::stop_token& stop, Predicate there) {
    waiting_.fetch_add(1);
    bool found = false;
    {
      std::unique_lock lock(mutex_);
      found = changed_.wait_until(lock, stop, deadline, there);
    }
    waiting_.fetch_sub(1);
    return found;
  }

 private:
  std::atomic<std::size_t> waiting_{0};
  std::mutex mutex_;
  std::condition_variable_any changed_;
};

}  // namespace millrace::registry_view
