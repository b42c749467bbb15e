#include "store/series_table.hpp"

#include <algorithm>

namespace millrace::writer {

std::optional<TimeUs> SeriesTable::max_time(const SeriesKey& key) const {
  const auto found = series_.find(key);
  return found == series_.end() ? std::nullopt : std::optional<TimeUs>(found->second.max_time.value_or(INT64_MIN));
}

void SeriesTable::learn(const SeriesKey& key, std::int32_t partition, std::optional<TimeUs> stored_max) {
  series_.try_emplace(key, State{stored_max, partition});
}

void SeriesTable::raise(const SeriesKey& key, TimeUs time) {
  State& state = series_[key];
  state.max_time = std::max(state.max_time.value_or(time), time);
}

void SeriesTable::offer(const SeriesKey& key, std::int32_t partition, TimeUs time, const Cell& cell, bool usable) {
  series_[key].partition = partition;
  PendingLatest& pending = dirty_[key];
  if (pending.max_time == 0 && !pending.time) pending.max_time = time;
  pending.key = key;
  pending.partition = partition;
  pending.max_time = std::max(pending.max_time, time);
  if (!usable || (pending.time && *pending.time > time)) return;
  pending.time = time;
  pending.cell = cell;
}

std::vector<PendingLatest> SeriesTable::pending() const {
  std::vector<PendingLatest> all;
  all.reserve(dirty_.size());
  for (const auto& [key, pending] : dirty_) all.push_back(pending);
  // One order for everybody: two writers never wait for each other's rows in a circle.
  std::sort(all.begin(), all.end(), [](const PendingLatest& a, const PendingLatest& b) {
    return std::pair(a.key.device, a.key.metric) < std::pair(b.key.device, b.key.metric);
  });
  return all;
}

void SeriesTable::flushed() { dirty_.clear(); }

TimeUs SeriesTable::behind_busy(const SeriesKey& key, TimeUs time) const {
  const auto run = busy_.find(key);
  return run != busy_.end() && time >= run->second.from && time < run->second.to ? run->second.to : time;
}

void SeriesTable::note_busy(const SeriesKey& key, TimeUs from, TimeUs to) {
  constexpr std::size_t kMost = 100'000;
  if (busy_.size() >= kMost && !busy_.contains(key)) busy_.clear();
  Run& run = busy_[key];
  const bool touches = from <= run.to && to >= run.from && run.from < run.to;
  run = touches ? Run{std::min(run.from, from), std::max(run.to, to)} : Run{from, to};
}

void SeriesTable::clear() {
  series_.clear();
  busy_.clear();
  dirty_.clear();
}

// Forgets a tenth at random (the map's order) of what can be read again from `latest`: everything that is not dirty.
void SeriesTable::trim() {
  if (series_.size() < most_) return;
  std::size_t to_drop = series_.size() - most_ + most_ / 10 + 1;
  for (auto it = series_.begin(); it != series_.end() && to_drop > 0;) {
    if (dirty_.contains(it->first)) {
      ++it;
    } else {
      it = series_.erase(it);
      --to_drop;
    }
  }
}

}  // namespace millrace::writer
