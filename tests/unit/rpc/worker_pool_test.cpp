#include <condition_variable>
#include <mutex>

#include <gtest/gtest.h>

#include <millrace/rpc/worker_pool.hpp>

namespace millrace::rpc {
namespace {

using Submitted = WorkerPool::Submitted;

/// Jobs that wait until they are let go, and what has begun, in its order.
class Gate {
 public:
  std::function<void()> job(const std::string& name) {
    return [this, name] {
      std::unique_lock lock(mutex_);
      begun_.push_back(name);
      changed_.notify_all();
      changed_.wait(lock, [this] { return open_ > 0; });
      --open_;
    };
  }
  void let_go(int jobs) {
    const std::lock_guard lock(mutex_);
    open_ += jobs;
    changed_.notify_all();
  }
  std::vector<std::string> wait_begun(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::minutes(1), [&] { return begun_.size() >= count; });
    return begun_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int open_ = 0;
  std::vector<std::string> begun_;
};

TEST(WorkerPool, OwnersTakeTurns) {
  Gate gate;
  WorkerPool pool({.threads = 1, .queue = 100});
  ASSERT_EQ(pool.submit(gate.job("a1"), "a"), Submitted::kYes);
  gate.wait_begun(1);
  for (const char* name : {"a2", "a3", "a4"}) ASSERT_EQ(pool.submit(gate.job(name), "a"), Submitted::kYes);
  for (const char* name : {"b1", "b2"}) ASSERT_EQ(pool.submit(gate.job(name), "b"), Submitted::kYes);
  gate.let_go(6);
  EXPECT_EQ(gate.wait_begun(6), (std::vector<std::string>{"a1", "a2", "b1", "a3", "b2", "a4"}));
}

TEST(WorkerPool, AnOwnerHasSoManyJobsRunningAndWaitingAndNoMore) {
  Gate gate;
  WorkerPool pool({.threads = 3, .queue = 4, .queue_of_owner = 2, .running_of_owner = 2});
  ASSERT_EQ(pool.submit(gate.job("a1"), "a"), Submitted::kYes);
  gate.wait_begun(1);
  ASSERT_EQ(pool.submit(gate.job("a2"), "a"), Submitted::kYes);
  gate.wait_begun(2);
  ASSERT_EQ(pool.submit(gate.job("a3"), "a"), Submitted::kYes);
  ASSERT_EQ(pool.submit(gate.job("a4"), "a"), Submitted::kYes);
  EXPECT_EQ(pool.submit(gate.job("a5"), "a"), Submitted::kQueueOfOwnerFull);
  EXPECT_EQ(pool.running(), 2U) << "a thread is free, and not for this owner";
  ASSERT_EQ(pool.submit(gate.job("b1"), "b"), Submitted::kYes);
  EXPECT_EQ(gate.wait_begun(3).back(), "b1");
  // Nobody's jobs are bounded by the queue alone.
  EXPECT_TRUE(pool.try_submit(gate.job("x1")));
  EXPECT_TRUE(pool.try_submit(gate.job("x2")));
  EXPECT_FALSE(pool.try_submit(gate.job("x3")));
  EXPECT_EQ(pool.submit(gate.job("b2"), "b"), Submitted::kQueueFull);
  gate.let_go(7);
  EXPECT_EQ(gate.wait_begun(7).size(), 7U);
}

TEST(WorkerPool, ADrainRunsWhatWaitsBehindItsOwnersBound) {
  Gate gate;
  WorkerPool pool({.threads = 2, .queue = 10, .running_of_owner = 1});
  for (const char* name : {"a1", "a2", "a3"}) ASSERT_EQ(pool.submit(gate.job(name), "a"), Submitted::kYes);
  gate.let_go(3);
  EXPECT_TRUE(pool.drain(std::chrono::steady_clock::now() + std::chrono::minutes(1)).ok());
  EXPECT_EQ(gate.wait_begun(3).size(), 3U);
  EXPECT_EQ(pool.submit(gate.job("late"), "a"), Submitted::kStopping);
}

/// Steps aside, and then waits until it is let go.
std::function<void()> aside_job(Gate& gate, const std::string& name) {
  return [job = gate.job(name), refused = gate.job(name + " refused")] {
    const auto aside = WorkerPool::step_aside();
    (aside ? job : refused)();
  };
}

TEST(WorkerPool, JobsThatStepAsideLeaveTheirThreadToOthers) {
  Gate gate;
  WorkerPool pool({.threads = 1, .queue = 10, .running_of_owner = 1, .aside = 2});
  for (const char* name : {"a1", "a2"}) ASSERT_EQ(pool.submit(aside_job(gate, name), "a"), Submitted::kYes);
  gate.wait_begun(2);
  ASSERT_EQ(pool.submit(aside_job(gate, "a3"), "a"), Submitted::kYes);
  EXPECT_EQ(gate.wait_begun(3).back(), "a3 refused") << "two are aside, as many as may be";
  ASSERT_EQ(pool.submit(gate.job("a4"), "a"), Submitted::kYes);
  EXPECT_EQ(pool.running(), 3U) << "the one that was refused still has the thread";
  gate.let_go(4);
  EXPECT_EQ(gate.wait_begun(4).back(), "a4");
  ASSERT_TRUE(pool.drain(std::chrono::steady_clock::now() + std::chrono::minutes(1)).ok());
}

TEST(WorkerPool, OneOwnerTakesNotAllThePlacesAside) {
  Gate gate;
  WorkerPool pool({.threads = 1, .queue = 10, .aside = 2, .aside_of_owner = 1});
  ASSERT_EQ(pool.submit(aside_job(gate, "a1"), "a"), Submitted::kYes);
  gate.wait_begun(1);
  ASSERT_EQ(pool.submit(aside_job(gate, "b1"), "b"), Submitted::kYes);
  gate.wait_begun(2);
  ASSERT_EQ(pool.submit(aside_job(gate, "b2"), "b"), Submitted::kYes);
  EXPECT_EQ(gate.wait_begun(3).back(), "b2 refused");
  gate.let_go(3);
}

TEST(WorkerPool, WhoRunsInNoPoolStepsAsideAtNoPrice) {
  const auto aside = WorkerPool::step_aside();
  EXPECT_TRUE(aside);
}

}  // namespace
}  // namespace millrace::rpc
