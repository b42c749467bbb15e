#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <millrace/base/result.hpp>

namespace millrace::rpc {

/// Threads for blocking work (SQL), with a bounded queue. Thread-safe. A job must not throw and is told nothing about
/// the pool's end: it bounds itself by its call's deadline. Jobs may have an owner: the owners' jobs are begun in turn,
/// so that one who sends many delays only himself.
class WorkerPool {
 public:
  struct Options {
    std::size_t threads = 4;
    std::size_t queue = 256;           ///< jobs waiting, not counting those running
    std::size_t queue_of_owner = 0;    ///< the same of one owner; 0: no bound of its own
    std::size_t running_of_owner = 0;  ///< jobs of one owner that run at once; 0: no bound of its own
    std::size_t aside = 0;             ///< jobs that may have stepped aside at once; each costs a further thread
    std::size_t aside_of_owner = 0;    ///< the same of one owner; 0: no bound of its own
  };

  enum class Submitted { kYes, kQueueFull, kQueueOfOwnerFull, kStopping };

  explicit WorkerPool(const Options& options);
  ~WorkerPool();  ///< runs what was accepted, then joins
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  /// Unless kYes the job will not run. Never blocks. Jobs without an owner (empty) have no bounds of an owner.
  [[nodiscard]] Submitted submit(std::function<void()> job, std::string_view owner);
  /// Of nobody; false unless kYes.
  [[nodiscard]] bool try_submit(std::function<void()> job) { return submit(std::move(job), {}) == Submitted::kYes; }

  /// Takes no more jobs and waits until all accepted ones are done, or kUnavailable at the deadline (they go on).
  [[nodiscard]] Status drain(std::chrono::steady_clock::time_point deadline);

  /// While it lives its job does not count among those that run, neither of the pool nor of its owner: for a job that
  /// waits for something that is scarcer than the threads. Belongs to the thread of the job.
  class Aside {
   public:
    Aside(Aside&& other) noexcept : pool_(std::exchange(other.pool_, nullptr)) {}
    Aside& operator=(Aside&&) = delete;
    ~Aside();

   private:
    friend class WorkerPool;
    explicit Aside(WorkerPool* pool) : pool_(pool) {}
    WorkerPool* pool_;  // null: nothing is to be given back
  };
  /// To be called by a job, of whatever pool; elsewhere, and by a job that is aside already, it does nothing. Nothing
  /// is returned when as many are aside as may be.
  [[nodiscard]] static std::optional<Aside> step_aside();

  [[nodiscard]] std::size_t waiting() const;
  [[nodiscard]] std::size_t running() const;  ///< those that stepped aside included
  [[nodiscard]] const Options& options() const { return options_; }

 private:
  /// The jobs of one owner.
  struct Lane {
    std::deque<std::function<void()>> jobs;
    std::size_t running = 0;  // those that stepped aside too
    std::size_t aside = 0;
    bool in_turn = false;  // stands in turns_
  };
  using Lanes = std::map<std::string, Lane, std::less<>>;

  /// What the calling thread runs.
  struct Job {
    WorkerPool* pool = nullptr;
    Lanes::iterator lane;
    bool aside = false;
  };
  static Job*& job_of_thread();

  void work();
  void stand_in_turn(Lanes::iterator lane);
  [[nodiscard]] bool leave(Job& job);
  void come_back(Job& job);

  const Options options_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable idle_;
  Lanes lanes_;                        // with jobs that wait or run
  std::deque<Lanes::iterator> turns_;  // whose next job may begin
  std::size_t waiting_ = 0;
  std::size_t running_ = 0;
  std::size_t aside_ = 0;  // of those that run
  bool stopping_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace millrace::rpc
