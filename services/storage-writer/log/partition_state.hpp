#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <millrace/kafka/consumer.hpp>
#include <millrace/kafka/settings.hpp>
#include <millrace/telemetry/batch.hpp>
#include <millrace/telemetry/copy_rules.hpp>

#include "batch/batch.hpp"
#include "batch/name_table.hpp"
#include "store/store.hpp"

namespace millrace::writer {

using storage_schema::contradiction;
using storage_schema::how_to_go_on;
using storage_schema::mark_of;

/// What the database has of a partition's copy rules.
struct SavedCopies {
  std::int64_t offset = -1;  ///< -1: nothing, or nothing of use
  std::size_t bytes = 0;
  std::chrono::steady_clock::time_point at{};
};

/// What the reader knows about one owned partition.
struct PartitionState {
  std::int32_t generation = 0;
  std::int64_t next_offset = 0;    ///< of the next record to take
  std::optional<RecordMark> last;  ///< of the record before it; none: the log begins there
  telemetry::CopyRules rules;
  SavedCopies saved;
  std::optional<std::string> stopped;  ///< why nothing is taken any more
};

/// Where to begin reading again before `row.next_offset`: what `latest` lacks, the record that identifies the log, and
/// the copies. `window_begin` is the first offset within the time window.
[[nodiscard]] std::int64_t replay_begin(const OffsetRow& row, const kafka::Watermarks& log, std::int64_t window_begin,
                                        std::int64_t max_records);

/// Whether the registry gives the integer device key to somebody else; a sentence if it does. Devices that it does not
/// know (yet) are right.
using DeviceCheck =
    std::function<std::optional<std::string>(std::int32_t key, std::string_view tenant, std::string_view device)>;

/// Turns records into rows of a batch. One thread; keeps its decoder's memory.
class RecordTaker {
 public:
  RecordTaker(NameTable& names, DeviceCheck check) : names_(names), check_(std::move(check)) {}

  /// Takes the record at state.next_offset into the batch; moves the state on. Sets state.stopped on a hole, or
  /// where the registry contradicts the record, and takes nothing.
  /// A record before state.next_offset is ignored.
  void take(kafka::Record record, PartitionState& state, Batch& batch);

  /// The series of a record's points, for storage.latest.
  [[nodiscard]] Status series_of(const kafka::Record& record, std::vector<NamedSeries>& out);

 private:
  [[nodiscard]] std::optional<std::string> contradicted_device();
  [[nodiscard]] Status check_points(const Status& decoded, const kafka::Record& record, Slice& slice);
  void add_rows(const kafka::Record& record, TimeUs log_time, Batch& batch);

  NameTable& names_;
  DeviceCheck check_;
  std::unordered_map<std::int32_t, std::uint64_t> checked_;  // device key → hash of tenant and device that were right
  telemetry::BatchCodec codec_;
  telemetry::Batch message_;
  std::vector<std::int32_t> untimed_;  // of a replay: points whose time the platform stamped
};

}  // namespace millrace::writer
