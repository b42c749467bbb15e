#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "log/worker.hpp"

namespace millrace::stream {

/// The workers of this process, and a watch over them: librdkafka 2.0.2 can stay in a call for ever
/// (rd_kafka_send_offsets_to_transaction() does not keep its time-out while it looks for the group's coordinator, issue
/// 5456). A worker that has been silent for too long is left alone and another one takes its place under the same
/// names: its producer and its consumer fence the former's, as a new process would. Thread-safe.
class Workers {
 public:
  /// Makes the worker of that number, not started; called again for its successors, by the watching thread.
  using Make = std::function<std::shared_ptr<Worker>(int number)>;

  /// `stall_after`: longer than everything that a worker does between two beats.
  Workers(int count, Make make, std::chrono::milliseconds stall_after);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  void start();
  /// No more records are taken; nobody is replaced any more.
  void stop();
  [[nodiscard]] bool are_done() const;
  /// Waits for the workers, not for those that were left alone. True: no thread is left. False: threads that hang may
  /// still use what they were made with; the process must end without destroying it.
  [[nodiscard]] bool join();

  [[nodiscard]] std::vector<WorkerState::Report> reports() const;

 private:
  void watch(const std::stop_token& stop);
  void replace(std::size_t index);

  Make make_;
  std::chrono::milliseconds stall_after_;
  observability::Logger log_{"workers"};
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<Worker>> workers_;  // guarded by mutex_, as the following
  std::vector<std::shared_ptr<Worker>> abandoned_;
  std::jthread watch_;
};

}  // namespace millrace::stream
