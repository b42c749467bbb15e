#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <millrace/archive_format/frame.hpp>
#include <millrace/archive_format/rows.hpp>

namespace millrace::archive {

using Clock = std::chrono::steady_clock;

/// One run of parquet-worker. Every call blocks, at most until the deadline; the destructor kills the process if it
/// still runs, and waits for it. One thread. The child gets none of this process's environment but what finds a proxy
/// and certificates. SIGPIPE must be blocked or ignored in the calling thread (runtime::block_signals).
class WorkerCall {
 public:
  /// Starts the program and gives it the request. kUnavailable: there is no such program.
  [[nodiscard]] static Result<std::unique_ptr<WorkerCall>> start(const std::string& program,
                                                                 const archive_format::Fields& request,
                                                                 Clock::time_point deadline);
  ~WorkerCall();
  WorkerCall(const WorkerCall&) = delete;
  WorkerCall& operator=(const WorkerCall&) = delete;

  /// Asked every 100 ms while a call waits; true ends it with kUnavailable. Must not block. Empty: nobody is asked.
  void set_interrupt(std::function<bool()> interrupt);

  /// Instead of the one that start() was given.
  void set_deadline(Clock::time_point deadline);

  /// For `write` and `export`. A worker that ended early is no failure here: its answer says why.
  [[nodiscard]] Status send(const archive_format::RowBlock& block);
  /// For `export`: names for the next block.
  [[nodiscard]] Status send_item(const archive_format::Fields& fields);
  [[nodiscard]] Status end_rows();

  /// The next frame kRows, kItem, kBytes or kDone; what the worker reported as kError is the error. Its payload lives
  /// until the next call. kUnavailable: it died, or the deadline passed.
  [[nodiscard]] Result<archive_format::Frame> receive();
  /// receive() until kDone, whose fields it gives; frames before it are passed over.
  [[nodiscard]] Result<archive_format::Fields> finish();

 private:
  struct Impl;
  explicit WorkerCall(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// start() and finish() of a request without rows.
[[nodiscard]] Result<archive_format::Fields> call_worker(const std::string& program,
                                                         const archive_format::Fields& request,
                                                         Clock::time_point deadline);

}  // namespace millrace::archive
