#include "copies/copy_keeper.hpp"

#include <algorithm>
#include <utility>

namespace millrace::writer {
namespace {

using std::chrono::steady_clock;

constexpr std::int64_t kBytesPerRecord = 32;
constexpr int kLongest = 10;  // intervals

// Records that whoever takes the partition has to read again for the state's sake.
std::int64_t unsaved_records(const PartitionState& state) {
  return state.next_offset - std::max<std::int64_t>(0, state.saved.offset);
}

postgres::ConnectOptions own_connection(const Config& config) {
  postgres::ConnectOptions options = config.database;
  options.application_name = "storage-writer-copies";
  return options;
}

}  // namespace

bool is_copy_state_due(const PartitionState& state, steady_clock::time_point now, std::chrono::milliseconds interval) {
  const std::int64_t records = unsaved_records(state);
  const auto since = now - state.saved.at;
  if (state.stopped || records <= 0 || since < interval) return false;
  return records >= static_cast<std::int64_t>(state.saved.bytes) / kBytesPerRecord || since >= kLongest * interval;
}

CopyKeeper::CopyKeeper(const Config& config, const WriterMetrics& metrics)
    : config_(config), metrics_(metrics), store_(own_connection(config), config.topics.telemetry()) {}

void CopyKeeper::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void CopyKeeper::step(std::map<std::int32_t, PartitionState>& partitions,
                      const std::map<std::int32_t, std::int64_t>& committed) {
  if (waiting_) {
    const auto position = committed.find(waiting_->partition);
    if (position != committed.end() && position->second >= waiting_->offset) {
      put(std::move(*waiting_));
      waiting_.reset();
    }
    return;
  }
  if (is_busy(partitions)) return;
  const auto now = steady_clock::now();
  auto chosen = partitions.end();
  for (auto one = partitions.begin(); one != partitions.end(); ++one) {
    if (!is_copy_state_due(one->second, now, config_.copy_state_interval)) continue;
    if (chosen == partitions.end() || one->second.saved.at < chosen->second.saved.at) chosen = one;
  }
  if (chosen != partitions.end()) waiting_ = write_down(chosen->first, chosen->second);
}

// Notes which states were not saved, too.
bool CopyKeeper::is_busy(std::map<std::int32_t, PartitionState>& partitions) {
  const std::scoped_lock lock(mutex_);
  for (const std::int32_t partition : std::exchange(failed_, {})) {
    if (const auto found = partitions.find(partition); found != partitions.end()) found->second.saved.offset = -1;
  }
  return busy_;
}

std::optional<CopyStateRow> CopyKeeper::write_down(std::int32_t partition, PartitionState& state) {
  const auto begun = steady_clock::now();
  auto bytes = state.rules.save(state.next_offset);
  const auto ended = steady_clock::now();
  metrics_.copy_state_pause_seconds.observe(std::chrono::duration<double>(ended - begun).count());
  state.saved.at = ended;
  if (!bytes) {
    // Not before ten intervals.
    state.saved.bytes = telemetry::CopyRules::kMaxSavedBytes;
    report(partition, bytes.error());
    return std::nullopt;
  }
  state.saved.offset = state.next_offset;
  state.saved.bytes = bytes->size();
  return CopyStateRow{partition, state.generation, state.next_offset, std::move(*bytes)};
}

void CopyKeeper::put(CopyStateRow state) {
  {
    const std::scoped_lock lock(mutex_);
    work_ = std::move(state);
    busy_ = true;
  }
  changed_.notify_all();
}

std::optional<CopyStateRow> CopyKeeper::next_work(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  busy_ = work_.has_value();
  if (!changed_.wait(lock, stop, [this] { return work_.has_value(); })) return std::nullopt;
  return std::exchange(work_, std::nullopt);
}

void CopyKeeper::run(const std::stop_token& stop) {
  while (const auto work = next_work(stop)) {
    const Status saved = save(*work, [&stop] { return stop.stop_requested(); });
    if (saved) continue;
    // At a clean stop finish() saves a newer one.
    if (!stop.stop_requested()) report(work->partition, saved.error());
    const std::scoped_lock lock(mutex_);
    failed_.insert(work->partition);
  }
}

Status CopyKeeper::save(const CopyStateRow& state, std::function<bool()> interrupt) {
  Status done = store_.connect();
  if (done) {
    store_.connection().set_interrupt(std::move(interrupt));
    auto saved = save_copy_state(store_.connection(), config_.topics.telemetry(), state);
    if (saved) {
      // False: whoever has the partition now has saved a newer one.
      if (*saved) metrics_.copy_states_saved.add();
      if (*saved) metrics_.copy_state_bytes.set(static_cast<double>(state.bytes.size()));
      return {};
    }
    done = saved.error();
    if (!store_.connected()) store_.disconnect();
  }
  return done;
}

void CopyKeeper::report(std::int32_t partition, const Error& error) {
  metrics_.copy_states_failed.add();
  log_.limited(limiter_, observability::Level::kWarn, "cannot save what tells copies apart",
               {{"partition", partition}, {"error", error.message}});
}

void CopyKeeper::finish(std::map<std::int32_t, PartitionState>& partitions,
                        const std::map<std::int32_t, std::int64_t>& committed) {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
  static_cast<void>(is_busy(partitions));
  if (waiting_) {
    if (const auto found = partitions.find(waiting_->partition); found != partitions.end())
      found->second.saved.offset = -1;
    waiting_.reset();
  }
  const auto until =
      steady_clock::now() + std::min<std::chrono::milliseconds>(std::chrono::seconds{10}, config_.stop_deadline / 3);
  const auto is_late = [until] { return steady_clock::now() >= until; };
  for (auto& [partition, state] : partitions) {
    const auto position = committed.find(partition);
    const bool whole = position != committed.end() && position->second == state.next_offset;
    if (state.stopped || !whole || unsaved_records(state) <= 0) continue;
    if (is_late()) return;
    const auto written = write_down(partition, state);
    if (!written) continue;
    if (const Status saved = save(*written, is_late); !saved) return report(partition, saved.error());
  }
}

}  // namespace millrace::writer
