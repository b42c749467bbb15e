#include "load/load.hpp"

#include "load/pacer.hpp"

namespace millrace::fleet {
namespace {

// The next one waits behind it.
bool one_at_a_time(Protocol protocol) {
  return protocol == Protocol::kHttp || protocol == Protocol::kCoap || protocol == Protocol::kCoaps;
}

constexpr std::int64_t kTickNs = 10 * kNsPerMs;
constexpr std::int64_t kWarmUpNs = 15'000 * kNsPerMs;
constexpr std::int64_t kWarmUpEachNs = 2 * kNsPerMs;

}  // namespace

Load::Load(const LoadOptions& options, const Readings& readings, const std::vector<Device>& devices, Outcome& outcome)
    : options_(options),
      readings_(readings),
      devices_(devices),
      outcome_(outcome),
      loop_(options, readings, outcome),
      next_index_(devices.size(), 1),
      last_time_(devices.size(), 0) {}

Load::~Load() = default;

Status Load::open() {
  if (Status status = loop_.open(); !status) return status;
  for (std::size_t i = 0; i < devices_.size(); ++i) {
    auto link = loop_.make_link(i, devices_[i]);
    if (!link) return link.error();
    links_.push_back(std::move(*link));
  }
  return {};
}

/// False when the device has nothing more to say.
bool Load::make_one(std::size_t device, std::int64_t due_ns) {
  if (next_index_[device] == 0) return false;
  auto message = readings_.make(device, next_index_[device], now_us_, last_time_[device]);
  if (!message) {
    next_index_[device] = 0;
    ++exhausted_;
    return false;
  }
  ++next_index_[device];
  last_time_[device] = message->time_us;
  message->due_ns = due_ns;
  outcome_.made(device, *message);
  links_[device]->add(*message);
  loop_.mark(*links_[device]);
  return true;
}

void Load::make_due() {
  now_us_ = now_us();
  if (!pacer_) {
    // As many as the windows take: what is due is what would be sent at once.
    for (std::size_t i = 0; i < links_.size(); ++i) {
      const std::size_t window = one_at_a_time(devices_[i].protocol) ? 2 : options_.window;
      while (links_[i]->in_flight() + links_[i]->waiting() < window && make_one(i, loop_.now_ns())) {
      }
    }
    return;
  }
  const std::uint64_t backlog = outcome_.made_count - outcome_.acknowledged_count - outcome_.refused_count;
  if (options_.qos != 0 && backlog > options_.backlog_most) return;
  const std::uint64_t burst = pacer_->burst();
  for (std::uint64_t left = pacer_->due(loop_.now_ns()); left > 0 && exhausted_ < links_.size(); left -= burst) {
    for (std::uint64_t i = 0; i < burst; ++i) make_one(turn_, pacer_->due_ns(made_++));
    turn_ = (turn_ + 1) % links_.size();
  }
}

LoadState Load::state() const {
  LoadState state;
  for (const auto& link : links_) {
    state.in_flight += link->in_flight();
    state.waiting += link->waiting();
    state.links_up += link->up() ? 1 : 0;
  }
  return state;
}

/// What is sent without an answer is found out now.
void Load::finish() {
  made_until_ns_ = loop_.now_ns();
  loop_.finish();
  for (const auto& link : links_) loop_.mark(*link);
}

/// Connects before the first message is due, so that setting up is not counted as latency. A gateway that is away, or
/// does not know a new device yet, is waited for only so long: the links go on by themselves.
void Load::warm_up() {
  const std::int64_t give_up = loop_.now_ns() + kWarmUpNs + static_cast<std::int64_t>(links_.size()) * kWarmUpEachNs;
  while (!stopping_ && !aborting_ && loop_.now_ns() < give_up && state().links_up < links_.size()) {
    for (const auto& link : links_) link->on_tick();
    loop_.poll(5);
    loop_.flush_marked();
  }
}

Result<LoadResult> Load::run(const std::function<void(const LoadState&)>& on_second) {
  if (Status status = open(); !status) return status.error();
  warm_up();
  const double cpu_before = thread_cpu_us();
  const std::int64_t start = loop_.now_ns();
  if (options_.rate > 0) pacer_ = std::make_unique<Pacer>(options_.rate, devices_.size(), start);
  const std::int64_t end = options_.duration.count() == 0 ? INT64_MAX : start + options_.duration.count() * kNsPerMs;
  std::int64_t next_tick = start;
  std::int64_t next_second = start + 1000 * kNsPerMs;
  while (!aborting_) {
    const bool making = made_until_ns_ == 0;
    loop_.poll(making && options_.rate > 200 ? 1 : 5);
    if (making) make_due();
    if (making && (stopping_ || loop_.now_ns() >= end || exhausted_ == links_.size())) finish();
    if (loop_.now_ns() >= next_tick) {
      next_tick = loop_.now_ns() + kTickNs;
      for (const auto& link : links_) link->on_tick();
    }
    loop_.flush_marked();
    if (loop_.now_ns() >= next_second) {
      next_second += 1000 * kNsPerMs;
      on_second(state());
    }
    if (made_until_ns_ != 0) {
      const LoadState left = state();
      if (left.in_flight + left.waiting == 0) break;
      const auto drain = stopping_ ? options_.drain_when_stopped : options_.drain;
      if (loop_.now_ns() - made_until_ns_ > drain.count() * kNsPerMs) break;
    }
  }
  if (made_until_ns_ == 0) made_until_ns_ = loop_.now_ns();
  for (const auto& link : links_) link->close_politely();
  LoadResult result;
  // Without answers the server has the messages when it answers what is behind them.
  const std::int64_t until = options_.qos == 0 ? loop_.now_ns() : made_until_ns_;
  result.seconds = static_cast<double>(until - start) * 1e-9;
  const std::uint64_t messages = options_.qos == 0 ? outcome_.sent_count.load() : outcome_.acknowledged_count.load();
  if (messages != 0) result.cpu_us_per_message = (thread_cpu_us() - cpu_before) / static_cast<double>(messages);
  return result;
}

}  // namespace millrace::fleet
