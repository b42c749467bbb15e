#include <algorithm>

#include <millrace/rpc/worker_pool.hpp>

namespace millrace::rpc {

WorkerPool::WorkerPool(const Options& options) : options_(options) {
  const std::size_t count = std::max<std::size_t>(1, options_.threads);
  threads_.reserve(count + options_.aside);
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
  const bool may_run = lane->first.empty() || options_.running_of_owner == 0 ||
                       of_owner.running - of_owner.aside < options_.running_of_owner;
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

WorkerPool::Job*& WorkerPool::job_of_thread() {
  thread_local Job* job = nullptr;
  return job;
}

std::optional<WorkerPool::Aside> WorkerPool::step_aside() {
  Job* job = job_of_thread();
  if (job == nullptr || job->aside) return Aside(nullptr);
  if (!job->pool->leave(*job)) return std::nullopt;
  return Aside(job->pool);
}

WorkerPool::Aside::~Aside() {
  if (pool_ != nullptr) pool_->come_back(*job_of_thread());
}

bool WorkerPool::leave(Job& job) {
  const std::lock_guard lock(mutex_);
  Lane& lane = job.lane->second;
  const bool bounded = !job.lane->first.empty() && options_.aside_of_owner > 0;
  if (aside_ >= options_.aside || (bounded && lane.aside >= options_.aside_of_owner)) return false;
  job.aside = true;
  ++aside_;
  ++lane.aside;
  stand_in_turn(job.lane);
  // Whoever stops joins the threads that are there.
  if (!stopping_ && threads_.size() < std::max<std::size_t>(1, options_.threads) + aside_) {
    threads_.emplace_back([this] { work(); });
  } else if (!turns_.empty()) {
    wake_.notify_one();
  }
  return true;
}

// At once, although another may have begun meanwhile: then one more runs than there should, until one ends.
void WorkerPool::come_back(Job& job) {
  const std::lock_guard lock(mutex_);
  job.aside = false;
  --aside_;
  --job.lane->second.aside;
}

void WorkerPool::work() {
  const std::size_t most = std::max<std::size_t>(1, options_.threads);
  Job current{this, {}, false};
  job_of_thread() = &current;
  std::unique_lock lock(mutex_);
  for (;;) {
    // Jobs that wait for their owner's other jobs keep the threads here until these are done.
    wake_.wait(lock, [&] { return (!turns_.empty() && running_ - aside_ < most) || (stopping_ && waiting_ == 0); });
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
    current.lane = lane;
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
