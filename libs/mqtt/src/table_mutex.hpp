// A shared mutex under which writers do not starve: std::shared_mutex of glibc lets readers pass a waiting writer, so
// that two threads publishing without a pause could keep a CONNECT out for ever.
//
// Why shared at all: it costs a short publish 6 ns more than a std::mutex (28 against 22), but beside a thread that
// sends to 2,000 sessions at a time, another one gets seven times as many publishes done, and its 99th percentile is
// 0.4 us instead of 46 (two cores).
#pragma once

#include <atomic>
#include <mutex>
#include <shared_mutex>

namespace millrace::mqtt {

/// Readers that come while a writer waits queue up behind it at the gate. Not recursive.
class TableMutex {
 public:
  void lock() {
    gate_.lock();
    writer_.store(true, std::memory_order_relaxed);
    mutex_.lock();
  }
  void unlock() {
    mutex_.unlock();
    writer_.store(false, std::memory_order_relaxed);
    gate_.unlock();
  }
  void lock_shared() {
    // A hint only, so relaxed will do: who does not see it in time gets in before the writer.
    if (writer_.load(std::memory_order_relaxed)) {
      const std::scoped_lock behind_the_writer(gate_);
    }
    mutex_.lock_shared();
  }
  void unlock_shared() { mutex_.unlock_shared(); }

 private:
  std::mutex gate_;
  std::atomic<bool> writer_{false};
  std::shared_mutex mutex_;
};

}  // namespace millrace::mqtt
