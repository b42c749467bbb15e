#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <millrace/base/result.hpp>

#include "batch/batch.hpp"
#include "store/series_table.hpp"

namespace millrace::writer {

struct SampleKey {
  SeriesKey series;
  TimeUs time = 0;
  bool operator==(const SampleKey&) const = default;
};
struct SampleKeyHash {
  std::size_t operator()(const SampleKey& key) const {
    return SeriesKeyHash{}(key.series) ^
           static_cast<std::size_t>(static_cast<std::uint64_t>(key.time) * 0xff51afd7ed558ccdULL);
  }
};

/// A row as it is in the database.
struct StoredSample {
  SampleKey key;
  Cell cell;
  bool untimed = false;
};

/// Port: what the resolver asks the database.
class StoredSamples {
 public:
  virtual ~StoredSamples() = default;
  /// Greatest stored time of each series, in their order; none: no row.
  [[nodiscard]] virtual Result<std::vector<std::optional<TimeUs>>> max_times(std::span<const SeriesKey> series) = 0;
  /// Those of the keys that have a row.
  [[nodiscard]] virtual Result<std::vector<StoredSample>> find(std::span<const SampleKey> keys) = 0;
};

/// One row to be inserted.
struct NewSample {
  SampleKey key;
  Cell cell;
  bool untimed = false;
  std::size_t source = 0;  ///< index of the batch's row it stands for
};

/// A stored row that gets another time.
struct MovedSample {
  SampleKey from;
  TimeUs to = 0;
  Cell cell;
  std::size_t source = 0;  ///< index of the batch's row that claimed its place
};

/// What a batch does to storage.sample.
struct Changes {
  std::vector<NewSample> inserts;
  std::vector<NewSample> replaced;          ///< new value for a stored row with a device's time
  std::vector<MovedSample> moved;           ///< untimed stored rows that give way to a device's time
  std::vector<SeriesTable::Entry*> series;  ///< of each row of the batch
};

/// Turns the points of a batch into changes, so that there is one row per (device, metric, time):
/// a time that the device gave is a natural key, the later log position wins; a point without time moves on by a
/// microsecond until free, is never replaced and never replaces. A replayed point never replaces either. Points newer
/// than their series (nearly all) need no look-up.
///
/// `metric_ids` maps the batch's metric indexes. Raises `series` as it goes: on an error, or if the transaction is
/// given up, the raised times stay, which is safe. Pure but for the port.
[[nodiscard]] Result<Changes> resolve(const Batch& batch, std::span<const std::int32_t> metric_ids, SeriesTable& series,
                                      StoredSamples& stored);

}  // namespace millrace::writer
