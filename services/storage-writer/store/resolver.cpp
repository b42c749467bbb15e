#include "store/resolver.hpp"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace millrace::writer {
namespace {

// Where a sample key is taken: by an insert of this batch or by a stored row.
struct Taken {
  std::optional<std::size_t> insert;  // index into Changes::inserts
  StoredSample stored;                // if insert is empty
};

class Resolver {
 public:
  Resolver(const Batch& batch, std::span<const std::int32_t> ids, SeriesTable& series, StoredSamples& stored)
      : batch_(batch), ids_(ids), series_(series), stored_(stored) {}

  Result<Changes> run() {
    if (auto status = find_series(); !status.ok()) return status.error();
    if (auto status = look_up_old_points(); !status.ok()) return status.error();
    changes_.inserts.reserve(batch_.rows.size());
    for (std::size_t i = 0; i < batch_.rows.size(); ++i) {
      const Row& row = batch_.rows[i];
      if (auto status = row.timed ? place_timed(i, row) : place_untimed(i, row); !status.ok()) return status.error();
    }
    return std::move(changes_);
  }

 private:
  SeriesKey series_of(const Row& row) const { return {row.device, ids_[row.metric]}; }

  // Looks each row's series up once; those that are not remembered are asked for, all at once.
  Status find_series() {
    std::vector<SeriesKey> unknown;
    std::vector<std::int32_t> partitions;
    std::unordered_set<SeriesKey, SeriesKeyHash> asked;
    changes_.series.reserve(batch_.rows.size());
    for (const Row& row : batch_.rows) {
      const SeriesKey key = series_of(row);
      changes_.series.push_back(series_.find(key));
      if (changes_.series.back() != nullptr || !asked.insert(key).second) continue;
      unknown.push_back(key);
      partitions.push_back(row.partition);
    }
    if (unknown.empty()) return {};
    const auto times = stored_.max_times(unknown);
    if (!times.ok()) return times.error();
    for (std::size_t i = 0; i < unknown.size(); ++i) series_.learn(unknown[i], partitions[i], (*times)[i]);
    for (std::size_t i = 0; i < batch_.rows.size(); ++i) {
      if (changes_.series[i] == nullptr) changes_.series[i] = series_.find(series_of(batch_.rows[i]));
    }
    return {};
  }

  // One question for all points that are not newer than what the series has stored or has in this batch before them.
  Status look_up_old_points() {
    std::vector<SampleKey> old;
    for (SeriesTable::Entry* series : changes_.series) series->passed = series->max_time;
    for (std::size_t i = 0; i < batch_.rows.size(); ++i) {
      const Row& row = batch_.rows[i];
      TimeUs& passed = changes_.series[i]->passed;
      if (row.time <= passed) {
        old.push_back({series_of(row), row.time});
        watch_ = true;
      }
      passed = std::max(passed, row.time);
    }
    if (old.empty()) return {};
    return remember_stored(old);
  }

  Status remember_stored(std::span<const SampleKey> keys) {
    auto found = stored_.find(keys);
    if (!found.ok()) return found.error();
    for (StoredSample& sample : *found) taken_.try_emplace(sample.key, Taken{std::nullopt, sample});
    return {};
  }

  void insert(std::size_t source, const SampleKey& key, const Row& row) {
    changes_.inserts.push_back({key, row.cell, !row.timed, source});
    if (watch_) taken_[key] = Taken{changes_.inserts.size() - 1, {}};
    SeriesTable::raise(*changes_.series[source], key.time);
  }

  Status place_timed(std::size_t source, const Row& row) {
    const SampleKey key{series_of(row), row.time};
    if (!watch_) {
      insert(source, key, row);
      return {};
    }
    const auto found = taken_.find(key);
    if (found == taken_.end()) {
      insert(source, key, row);
      return {};
    }
    Taken& taken = found->second;
    const bool untimed = taken.insert ? changes_.inserts[*taken.insert].untimed : taken.stored.untimed;
    if (untimed) {
      if (auto status = move_untimed(key, taken, source); !status.ok()) return status;
      insert(source, key, row);
      return {};
    }
    // Its place in the log is behind what the device may have sent since: that must not be undone.
    if (row.replayed) return {};
    if (taken.insert) {
      changes_.inserts[*taken.insert].cell = row.cell;
      return {};
    }
    if (taken.stored.cell == row.cell) return {};
    taken.stored.cell = row.cell;
    changes_.replaced.push_back({key, row.cell, false, source});
    return {};
  }

  // The platform's own stamp gives way; the device's time is what somebody will ask for.
  Status move_untimed(const SampleKey& key, Taken leaving, std::size_t source) {
    const auto free = next_free(key);
    if (!free.ok()) return free.error();
    const SampleKey target{key.series, *free};
    taken_.erase(key);
    if (leaving.insert) {
      changes_.inserts[*leaving.insert].key = target;
      taken_[target] = leaving;
    } else {
      record_move(key, *free, leaving.stored.cell, source);
      StoredSample moved = leaving.stored;
      moved.key = target;
      taken_[target] = Taken{std::nullopt, moved};
    }
    SeriesTable::raise(*changes_.series[source], *free);
    return {};
  }

  // A row that moves twice within one batch moves once, from where it is stored.
  void record_move(const SampleKey& from, TimeUs to, const Cell& cell, std::size_t source) {
    for (MovedSample& moved : changes_.moved) {
      if (moved.from.series == from.series && moved.to == from.time) {
        moved.to = to;
        return;
      }
    }
    changes_.moved.push_back({from, to, cell, source});
  }

  Status place_untimed(std::size_t source, const Row& row) {
    SampleKey key{series_of(row), row.time};
    if (watch_ && taken_.contains(key)) {
      const auto free = next_free(key);
      if (!free.ok()) return free.error();
      key.time = *free;
    }
    insert(source, key, row);
    return {};
  }

  // First free microsecond behind `key`. Asks the database for ever longer stretches, each once, and goes past what is
  // known to be taken: points without time that fall into a dense run must not cost a walk through it each.
  Result<TimeUs> next_free(const SampleKey& key) {
    constexpr TimeUs kLongest = 8192;
    TimeUs stretch = 64;
    TimeUs time = series_.behind_busy(key.series, key.time + 1);
    Asked& asked = asked_[key.series];
    // A time that a later row of this batch brings is looked at when its turn comes: that row finds this one then.
    for (;; ++time) {
      if (time < asked.from || time >= asked.to) {
        std::vector<SampleKey> keys;
        for (TimeUs t = time; t < time + stretch; ++t) keys.push_back({key.series, t});
        if (auto status = remember_stored(keys); !status.ok()) return status.error();
        asked = {time == asked.to ? asked.from : time, time + stretch};
        stretch = std::min(2 * stretch, kLongest);
      }
      if (taken_.contains({key.series, time})) continue;
      series_.note_busy(key.series, key.time, time + 1);
      return time;
    }
  }

  // A stretch of times of a series whose stored rows are all in taken_.
  struct Asked {
    TimeUs from = 0;
    TimeUs to = 0;
  };

  const Batch& batch_;
  std::span<const std::int32_t> ids_;
  SeriesTable& series_;
  StoredSamples& stored_;
  Changes changes_;
  std::unordered_map<SampleKey, Taken, SampleKeyHash> taken_;
  std::unordered_map<SeriesKey, Asked, SeriesKeyHash> asked_;
  bool watch_ = false;  // some point is not newer: inserts are remembered too
};

}  // namespace

Result<Changes> resolve(const Batch& batch, std::span<const std::int32_t> metric_ids, SeriesTable& series,
                        StoredSamples& stored) {
  return Resolver(batch, metric_ids, series, stored).run();
}

}  // namespace millrace::writer
