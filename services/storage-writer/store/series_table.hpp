#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include <millrace/base/time.hpp>

#include "batch/batch.hpp"

namespace millrace::writer {

/// A series by the database's ids.
struct SeriesKey {
  std::int32_t device = 0;
  std::int32_t metric = 0;
  bool operator==(const SeriesKey&) const = default;
};
struct SeriesKeyHash {
  std::size_t operator()(const SeriesKey& key) const {
    const auto mixed = (static_cast<std::uint64_t>(static_cast<std::uint32_t>(key.device)) << 32) |
                       static_cast<std::uint32_t>(key.metric);
    return static_cast<std::size_t>((mixed ^ (mixed >> 29)) * 0x9e3779b97f4a7c15ULL);
  }
};

/// The newest value of a series that storage.latest does not have yet.
struct PendingLatest {
  SeriesKey key;
  std::int32_t partition = 0;
  TimeUs max_time = 0;         ///< greatest stored time, future-dated and untimed rows included
  std::optional<TimeUs> time;  ///< of the value; none: only future-dated points
  Cell cell;
};

/// What the writer remembers of each series: the greatest stored time (an upper bound is safe: it only costs a look-up)
/// and what `latest` lacks. Committing thread only.
class SeriesTable {
 public:
  /// One series. Its address holds until trim() or clear().
  struct Entry {
    TimeUs max_time = INT64_MIN;  ///< of its rows, or later; INT64_MIN: it has none
    TimeUs passed = INT64_MIN;    ///< the resolver's own: the greatest time up to a row of the batch
    std::int32_t partition = 0;
    std::int32_t pending = -1;  ///< index among what `latest` lacks; -1: nothing
  };

  /// `most` series are remembered beyond a batch.
  explicit SeriesTable(std::size_t most) : most_(most) {}

  /// Null: not remembered.
  [[nodiscard]] Entry* find(const SeriesKey& key);
  [[nodiscard]] std::optional<TimeUs> max_time(const SeriesKey& key) const;
  /// What the database knows about a series that is not remembered; none: it has no row.
  void learn(const SeriesKey& key, std::int32_t partition, std::optional<TimeUs> stored_max);
  /// A point became a row (or will with this transaction).
  static void raise(Entry& entry, TimeUs time) { entry.max_time = std::max(entry.max_time, time); }
  void raise(const SeriesKey& key, TimeUs time) { raise(series_[key], time); }
  /// The same for `latest`: `usable` is false for a time too far ahead of the log's. `entry` is that of `key`.
  void offer(Entry& entry, const SeriesKey& key, std::int32_t partition, TimeUs time, const Cell& cell, bool usable);
  void offer(const SeriesKey& key, std::int32_t partition, TimeUs time, const Cell& cell, bool usable) {
    offer(series_[key], key, partition, time, cell, usable);
  }

  /// First time at or behind `time` that is not known to lie in a run of taken microseconds.
  [[nodiscard]] TimeUs behind_busy(const SeriesKey& key, TimeUs time) const;
  /// Every microsecond of [from, to) is taken (or will be with this transaction). Remembered over batches, so that a
  /// run is walked once, however many points without time fall into it.
  void note_busy(const SeriesKey& key, TimeUs from, TimeUs to);

  /// Everything that `latest` lacks; stays pending until flushed() is called.
  [[nodiscard]] std::vector<PendingLatest> pending() const;
  void flushed();
  [[nodiscard]] std::size_t pending_count() const { return dirty_.size(); }

  /// Back to the bound, between two batches.
  void trim();
  void clear();
  [[nodiscard]] std::size_t size() const { return series_.size(); }

 private:
  struct Run {
    TimeUs from = 0;
    TimeUs to = 0;
  };

  std::size_t most_;
  std::unordered_map<SeriesKey, Run, SeriesKeyHash> busy_;  // the last run of few series
  std::unordered_map<SeriesKey, Entry, SeriesKeyHash> series_;
  std::vector<PendingLatest> dirty_;
};

}  // namespace millrace::writer
