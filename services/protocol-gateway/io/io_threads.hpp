#pragma once

#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include "io/settlement.hpp"

namespace millrace::gateway {

/// One io_context a thread: everything of one connection happens on one thread, without locks.
class IoThreads {
 public:
  explicit IoThreads(std::size_t count);
  ~IoThreads();  ///< stop()
  IoThreads(const IoThreads&) = delete;
  IoThreads& operator=(const IoThreads&) = delete;

  void start();
  /// Ends the threads and waits for them; handlers that did not run are dropped.
  void stop();

  [[nodiscard]] std::size_t size() const { return contexts_.size(); }
  [[nodiscard]] boost::asio::io_context& context(std::size_t index) { return *contexts_[index]; }
  [[nodiscard]] std::vector<boost::asio::io_context*> contexts();

  /// Hands outcomes to their threads, one post a thread and call. Settlements without a sink are dropped. Thread-safe.
  void settle(std::vector<Settlement> settlements);

 private:
  using Guard = boost::asio::executor_work_guard<boost::asio::io_context::executor_type>;

  std::vector<std::unique_ptr<boost::asio::io_context>> contexts_;
  std::vector<Guard> guards_;
  std::vector<std::jthread> threads_;
};

}  // namespace millrace::gateway
