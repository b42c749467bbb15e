#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <thread>

#include <millrace/observability/log.hpp>

namespace millrace::gateway {

/// When what the allocator has free is worth giving back: after a burst, not in the ups and downs of every day. Pure.
class TrimRule {
 public:
  /// `worth`: bytes that have become free since the last time, or since there was least.
  explicit TrimRule(std::size_t worth) : worth_(worth) {}

  [[nodiscard]] bool look(std::size_t free_bytes) {
    least_ = std::min(least_, free_bytes);
    if (free_bytes - least_ < worth_) return false;
    least_ = free_bytes;
    return true;
  }

 private:
  std::size_t worth_;
  std::size_t least_ = 0;
};

/// Gives memory of a burst of connections back to the system, which glibc keeps by itself: what is freed lies between
/// what stays. A thread of its own looks every few seconds; giving back holds up who allocates for milliseconds.
class HeapTrim {
 public:
  HeapTrim() = default;
  ~HeapTrim() = default;  // ends the thread
  HeapTrim(const HeapTrim&) = delete;
  HeapTrim& operator=(const HeapTrim&) = delete;

  void start();

 private:
  void run(const std::stop_token& stop);

  observability::Logger log_{"memory"};
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::jthread thread_;  // last: uses all of the above
};

}  // namespace millrace::gateway
