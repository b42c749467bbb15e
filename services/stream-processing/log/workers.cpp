#include "log/workers.hpp"

#include <algorithm>
#include <condition_variable>
#include <cstdlib>

namespace millrace::stream {
namespace {

// More than one hanging call after another means that something else is wrong: a new process begins with nothing.
constexpr std::size_t kMostAbandoned = 8;
constexpr std::chrono::milliseconds kLook{5};
constexpr int kExitCode = 70;  // EX_SOFTWARE

}  // namespace

Workers::Workers(int count, Make make, std::chrono::milliseconds stall_after)
    : make_(std::move(make)), stall_after_(stall_after) {
  for (int i = 0; i < count; ++i) workers_.push_back(make_(i));
}

Workers::~Workers() {
  stop();
  static_cast<void>(join());  // the owner has asked before, or was never started
}

void Workers::start() {
  const std::scoped_lock lock(mutex_);
  for (const auto& worker : workers_) worker->start();
  watch_ = std::jthread([this](const std::stop_token& stop) { watch(stop); });
}

void Workers::stop() {
  if (watch_.joinable()) {
    watch_.request_stop();
    watch_.join();
  }
  const std::scoped_lock lock(mutex_);
  for (const auto& worker : workers_) worker->stop();
}

bool Workers::are_done() const {
  const std::scoped_lock lock(mutex_);
  return std::all_of(workers_.begin(), workers_.end(), [](const auto& worker) { return worker->is_done(); });
}

bool Workers::join() {
  const std::scoped_lock lock(mutex_);
  for (const auto& worker : workers_) {
    while (worker->is_running() && worker->silence() < stall_after_) std::this_thread::sleep_for(kLook);
    if (!worker->is_running()) {
      worker->join();
      continue;
    }
    worker->abandon();
    abandoned_.push_back(worker);
  }
  return std::all_of(abandoned_.begin(), abandoned_.end(), [](const auto& worker) { return worker->is_done(); });
}

std::vector<WorkerState::Report> Workers::reports() const {
  std::vector<WorkerState::Report> reports;
  const std::scoped_lock lock(mutex_);
  for (const auto& worker : workers_) {
    WorkerState::Report report = worker->report();
    if (const auto silence = worker->silence(); silence >= stall_after_ / 2 && report.ok) {
      report.ok = false;
      report.detail =
          "no progress for " + std::to_string(std::chrono::duration_cast<std::chrono::seconds>(silence).count()) + " s";
    }
    reports.push_back(std::move(report));
  }
  return reports;
}

void Workers::watch(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any woken;
  std::unique_lock lock(mutex);
  while (!stop.stop_requested()) {
    woken.wait_for(lock, stop, stall_after_ / 20, [] { return false; });
    const std::scoped_lock workers_lock(mutex_);
    for (std::size_t i = 0; i < workers_.size() && !stop.stop_requested(); ++i) {
      if (workers_[i]->silence() >= stall_after_) replace(i);
    }
  }
}

void Workers::replace(std::size_t index) {
  std::erase_if(abandoned_, [](const auto& worker) { return worker->is_done(); });
  if (abandoned_.size() >= kMostAbandoned) {
    log_.error("worker after worker hangs; the process ends", {{"worker", index}});
    std::_Exit(kExitCode);
  }
  log_.error("a worker hangs inside a call and is replaced",
             {{"worker", index}, {"last_said", workers_[index]->report().detail}});
  workers_[index]->abandon();
  abandoned_.push_back(std::move(workers_[index]));
  workers_[index] = make_(static_cast<int>(index));
  workers_[index]->start();
}

}  // namespace millrace::stream
