#include "load/once_load.hpp"

#include <algorithm>

#include "load/pacer.hpp"

namespace millrace::fleet {
namespace {

constexpr std::int64_t kTickNs = 10 * kNsPerMs;
constexpr std::uint32_t kOnly = 1;  // index of a device's message

bool is_done(const Link& link) { return link.in_flight() + link.waiting() == 0; }

}  // namespace

OnceLoad::OnceLoad(const LoadOptions& options, std::size_t connections, const Readings& readings,
                   const std::vector<Device>& devices, Outcome& outcome)
    : options_(options),
      connections_(connections),
      readings_(readings),
      devices_(devices),
      outcome_(outcome),
      loop_(options, readings, outcome) {}

OnceLoad::~OnceLoad() = default;

Status OnceLoad::begin_due() {
  if (pacer_) {
    due_ += pacer_->due(loop_.now_ns());
  } else {
    due_ = devices_.size();
  }
  const std::size_t most = std::min<std::uint64_t>(due_, devices_.size());
  while (next_ < most && turns_.size() < connections_) {
    if (Status status = begin_one(); !status) return status;
  }
  return {};
}

Status OnceLoad::begin_one() {
  const std::size_t device = next_++;
  auto message = readings_.make(device, kOnly, now_us(), 0);
  if (!message) return {};
  auto link = loop_.make_link(device, devices_[device]);
  if (!link) return link.error();
  // Open loop: what waits for a free connection waits already.
  message->due_ns = pacer_ ? pacer_->due_ns(device) : loop_.now_ns();
  outcome_.made(device, *message);
  (*link)->add(*message);
  (*link)->on_tick();  // connects
  loop_.mark(**link);
  turns_.push_back({std::move(*link), loop_.now_ns()});
  return {};
}

/// Not between a poll and its flush: until then the loop knows the links.
void OnceLoad::end_turns() {
  for (std::size_t i = 0; i < turns_.size();) {
    const bool given_up = loop_.now_ns() - turns_[i].begun_ns > options_.drain.count() * kNsPerMs;
    if (!is_done(*turns_[i].link) && !given_up) {
      ++i;
      continue;
    }
    turns_[i].link->close_politely();
    std::swap(turns_[i], turns_.back());
    turns_.pop_back();
  }
}

LoadState OnceLoad::state() const {
  LoadState state;
  for (const Turn& turn : turns_) {
    state.in_flight += turn.link->in_flight();
    state.waiting += turn.link->waiting();
    state.links_up += turn.link->up() ? 1 : 0;
  }
  return state;
}

Result<LoadResult> OnceLoad::run(const std::function<void(const LoadState&)>& on_second) {
  if (Status status = loop_.open(); !status) return status.error();
  const double cpu_before = thread_cpu_us();
  const std::int64_t start = loop_.now_ns();
  if (options_.rate > 0) pacer_ = std::make_unique<Pacer>(options_.rate, devices_.size(), start);
  const std::int64_t end = options_.duration.count() == 0 ? INT64_MAX : start + options_.duration.count() * kNsPerMs;
  std::int64_t stopped = 0;
  std::int64_t next_tick = start;
  std::int64_t next_second = start + 1000 * kNsPerMs;
  while (!aborting_) {
    loop_.poll(next_ < devices_.size() && stopped == 0 ? 1 : 5);
    if (stopped == 0 && (stopping_ || loop_.now_ns() >= end)) stopped = loop_.now_ns();
    if (stopped == 0) {
      if (Status status = begin_due(); !status) return status.error();
    }
    if (loop_.now_ns() >= next_tick) {
      next_tick = loop_.now_ns() + kTickNs;
      for (const Turn& turn : turns_) turn.link->on_tick();
    }
    loop_.flush_marked();
    end_turns();
    if (loop_.now_ns() >= next_second) {
      next_second += 1000 * kNsPerMs;
      on_second(state());
    }
    if (turns_.empty() && (stopped != 0 || next_ == devices_.size())) break;
    if (stopping_ && loop_.now_ns() - stopped > options_.drain_when_stopped.count() * kNsPerMs) break;
  }
  for (const Turn& turn : turns_) turn.link->close_politely();
  LoadResult result;
  result.seconds = static_cast<double>(loop_.now_ns() - start) * 1e-9;
  if (const std::uint64_t messages = outcome_.acknowledged_count; messages != 0)
    result.cpu_us_per_message = (thread_cpu_us() - cpu_before) / static_cast<double>(messages);
  return result;
}

}  // namespace millrace::fleet
