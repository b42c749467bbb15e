#include "store/series_table.hpp"

#include <algorithm>

namespace millrace::writer {

SeriesTable::Entry* SeriesTable::find(const SeriesKey& key) {
  const auto found = series_.find(key);
  return found == series_.end() ? nullptr : &found->second;
}

std::optional<TimeUs> SeriesTable::max_time(const SeriesKey& key) const {
  const auto found = series_.find(key);
  return found == series_.end() ? std::nullopt : std::optional<TimeUs>(found->second.max_time);
}

void SeriesTable::learn(const SeriesKey& key, std::int32_t partition, std::optional<TimeUs> stored_max) {
  series_.try_emplace(key, Entry{.max_time = stored_max.value_or(INT64_MIN), .partition = partition});
}

void SeriesTable::offer(Entry& entry, const SeriesKey& key, std::int32_t partition, TimeUs time, const Cell& cell,
                        bool usable) {
  entry.partition = partition;
  if (entry.pending < 0) {
    entry.pending = static_cast<std::int32_t>(dirty_.size());
    dirty_.push_back({key, partition, time, std::nullopt, {}});
  }
  PendingLatest& pending = dirty_[static_cast<std::size_t>(entry.pending)];
  pending.partition = partition;
  pending.max_time = std::max(pending.max_time, time);
  if (!usable || (pending.time && *pending.time > time)) return;
  pending.time = time;
  pending.cell = cell;
}

std::vector<PendingLatest> SeriesTable::pending() const {
  std::vector<const PendingLatest*> order;
  order.reserve(dirty_.size());
  for (const PendingLatest& one : dirty_) order.push_back(&one);
  // One order for everybody: two writers never wait for each other's rows in a circle.
  std::sort(order.begin(), order.end(), [](const PendingLatest* a, const PendingLatest* b) {
    return std::pair(a->key.device, a->key.metric) < std::pair(b->key.device, b->key.metric);
  });
  std::vector<PendingLatest> all;
  all.reserve(order.size());
  for (const PendingLatest* one : order) all.push_back(*one);
  return all;
}

void SeriesTable::flushed() {
  for (const PendingLatest& one : dirty_) {
    if (Entry* entry = find(one.key)) entry->pending = -1;
  }
  dirty_.clear();
}

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
    if (it->second.pending >= 0) {
      ++it;
    } else {
      it = series_.erase(it);
      --to_drop;
    }
  }
}

}  // namespace millrace::writer
