#include <algorithm>

#include <millrace/rpc/worker_pool.hpp>

namespace millrace::rpc {

WorkerPool::WorkerPool(const Options& options) : options_(options) {
  const std::size_t count = std::max<std::size_t>(1, options_.threads);
  threads_.reserve(count);
  for (std::size_t i = 0; i < count; ++i) threads_.emplace_back([this] { work(); });
}

WorkerPool::~WorkerPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
}

WorkerPool::Submitted WorkerPool::submit(std::function<void()> job, std::string_view owner) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return Submitted::kStopping;
    if (waiting_ >= options_.queue) return Submitted::kQueueFull;
    auto lane = lanes_.find(owner);
    if (lane == lanes_.end()) lane = lanes_.emplace(std::string(owner), Lane{}).first;
    const bool bounded = !owner.empty() && options_.queue_of_owner > 0;
    if (bounded && lane->second.jobs.size() >= options_.queue_of_owner) return Submitted::kQueueOfOwnerFull;
    lane->second.jobs.push_back(std::move(job));
    ++waiting_;
    stand_in_turn(lane);
  }
  wake_.notify_one();
  return Submitted::kYes;
}

void WorkerPool::stand_in_turn(Lanes::iterator lane) {
  Lane& of_owner = lane->second;
  const bool may_run =
      lane->first.empty() || options_.running_of_owner == 0 || of_owner.running < options_.running_of_owner;
  if (of_owner.in_turn || of_owner.jobs.empty() || !may_run) return;
  of_owner.in_turn = true;
  turns_.push_back(lane);
}

Status WorkerPool::drain(std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  wake_.notify_all();
  if (idle_.wait_until(lock, deadline, [this] { return waiting_ == 0 && running_ == 0; })) return {};
  return Error{ErrorKind::kUnavailable, std::to_string(waiting_ + running_) + " jobs were not done by the deadline"};
}

std::size_t WorkerPool::waiting() const {
  const std::lock_guard lock(mutex_);
  return waiting_;
}

std::size_t WorkerPool::running() const {
  const std::lock_guard lock(mutex_);
  return running_;
}

void WorkerPool::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    // Jobs that wait for their owner's other jobs keep the threads here until these are done.
    wake_.wait(lock, [this] { return !turns_.empty() || (stopping_ && waiting_ == 0); });
    if (turns_.empty()) return;
    const auto lane = turns_.front();
    turns_.pop_front();
    lane->second.in_turn = false;
    std::function<void()> job = std::move(lane->second.jobs.front());
    lane->second.jobs.pop_front();
    --waiting_;
    ++lane->second.running;
    ++running_;
    stand_in_turn(lane);
    if (stopping_ && waiting_ == 0) wake_.notify_all();
    lock.unlock();
    job();
    job = nullptr;  // what it holds must not outlive it while this thread waits
    lock.lock();
    --running_;
    --lane->second.running;
    stand_in_turn(lane);
    if (!turns_.empty()) wake_.notify_one();
    if (lane->second.jobs.empty() && lane->second.running == 0) lanes_.erase(lane);
    if (waiting_ == 0 && running_ == 0) idle_.notify_all();
  }
}

}  // namespace millrace::rpc
