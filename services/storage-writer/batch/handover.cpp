#include "batch/handover.hpp"

#include <utility>

namespace millrace::writer {

void Handover::put(Batch batch) {
  {
    const std::scoped_lock lock(mutex_);
    batch_ = std::move(batch);
    hungry_.store(false, std::memory_order_release);
  }
  changed_.notify_all();
}

void Handover::put(Opening opening) {
  {
    const std::scoped_lock lock(mutex_);
    opening_ = std::move(opening);
    hungry_.store(false, std::memory_order_release);
  }
  changed_.notify_all();
}

std::uint64_t Handover::begin_epoch() {
  std::unique_lock lock(mutex_);
  const std::uint64_t next = epoch_.load(std::memory_order_relaxed) + 1;
  epoch_.store(next, std::memory_order_release);
  opening_.reset();
  batch_.reset();
  changed_.wait(lock, [this] { return idle_ || stopped(); });
  reset_.reset();
  committed_.clear();
  return next;
}

std::optional<std::string> Handover::take_reset_request() {
  const std::scoped_lock lock(mutex_);
  return std::exchange(reset_, std::nullopt);
}

std::map<std::int32_t, std::int64_t> Handover::take_committed() {
  const std::scoped_lock lock(mutex_);
  return std::exchange(committed_, {});
}

bool Handover::wait_idle(std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, deadline, [this] { return idle_ && !opening_ && !batch_; });
}

void Handover::wait_hungry(std::chrono::steady_clock::time_point until) {
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, until, [this] { return is_hungry() || reset_ || stopped(); });
}

Handover::Work Handover::take(std::chrono::steady_clock::time_point until) {
  std::unique_lock lock(mutex_);
  idle_ = true;
  hungry_.store(!opening_ && !batch_, std::memory_order_release);
  changed_.notify_all();
  changed_.wait_until(lock, until, [this] { return opening_ || batch_ || stopped(); });
  hungry_.store(false, std::memory_order_release);
  idle_ = false;
  Work work;
  work.opening = std::exchange(opening_, std::nullopt);
  work.batch = std::exchange(batch_, std::nullopt);
  return work;
}

void Handover::request_reset(std::string reason) {
  {
    const std::scoped_lock lock(mutex_);
    reset_ = std::move(reason);
  }
  changed_.notify_all();
}

void Handover::report_committed(std::int32_t partition, std::int64_t next_offset) {
  const std::scoped_lock lock(mutex_);
  committed_[partition] = next_offset;
}

void Handover::stop() {
  {
    const std::scoped_lock lock(mutex_);
    stopped_.store(true, std::memory_order_release);
    idle_ = true;
  }
  changed_.notify_all();
}

}  // namespace millrace::writer
