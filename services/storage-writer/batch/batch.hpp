#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <millrace/base/time.hpp>
#include <millrace/kafka/consumer.hpp>
#include <millrace/storage_schema/log_position.hpp>
#include <millrace/storage_schema/value.hpp>
#include <millrace/telemetry/batch.hpp>
#include <millrace/telemetry/receipt.hpp>

namespace millrace::writer {

using storage_schema::Cell;
using storage_schema::Kind;
using storage_schema::MetricType;
using storage_schema::OffsetRow;
using storage_schema::RecordMark;

/// One point on its way to a row. `metric` is an index of the NameTable, not yet the database's id.
struct Row {
  std::int32_t device = 0;
  std::uint32_t metric = 0;
  TimeUs time = 0;
  bool timed = false;     ///< the device gave the time: a natural key
  bool replayed = false;  ///< of a dead letter: what was stored since then stays
  Cell cell;
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  std::int32_t index = 0;  ///< of the point within its record
  TimeUs log_time = 0;     ///< running maximum of append times at this record
};

struct DroppedCopy {
  std::int64_t offset = 0;
  std::int64_t original = 0;
  std::int16_t rule = 0;
};

/// Points that are not stored, decided in the transaction that skips them.
struct DeadLetter {
  std::int64_t offset = 0;
  std::vector<std::int32_t> points;  ///< empty: the whole record
  std::string reason;
  std::string tenant;
  std::string device;
  std::int32_t dead_partition = -1;  ///< where telemetry.dead has the bytes; -1: not yet sent
  std::int64_t dead_offset = -1;
};

/// A record that carries the points of a dead letter again. At most one of a dead letter is stored.
struct ReplayRecord {
  std::int64_t offset = 0;
  /// The record whose points were dead, in the same partition; or the dead letter of a payload that was refused before
  /// there was a record.
  telemetry::Receipt source;
};

/// The records [begin, end) of a slice that lie in one hour of log time.
struct HourOfLog {
  TimeUs hour = 0;  ///< its beginning
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

/// The stretch [begin, end) of one partition within a batch.
struct Slice {
  std::int32_t generation = 0;
  std::int64_t begin = 0;
  std::int64_t end = 0;
  RecordMark last;  ///< of the record before `end`
  TimeUs log_time = 0;
  std::vector<DroppedCopy> copies;
  std::vector<DeadLetter> dead;
  std::vector<ReplayRecord> replays;
  std::vector<kafka::Record> records;  ///< for the bytes of a dead letter
  bool awaited = false;                ///< an answer waits for at least one of them
  std::vector<HourOfLog> hours;        ///< in order, without a gap
};

/// What one transaction stores: rows in log order within each partition.
struct Batch {
  std::uint64_t epoch = 0;  ///< of the assignment it was read under; of an older one it is thrown away
  std::vector<Row> rows;
  std::map<std::int32_t, Slice> slices;           ///< by partition
  std::chrono::steady_clock::time_point first{};  ///< when its first record came
  std::size_t bytes = 0;

  [[nodiscard]] bool empty() const { return slices.empty(); }
  /// Counts the record at `offset`, the slice's last so far, to its hour.
  static void count_hour(Slice& slice, std::int64_t offset, TimeUs log_time);
  /// Removes the rows of one record.
  void drop_rows(std::int32_t partition, std::int64_t offset);
  /// Removes everything of one partition.
  void drop(std::int32_t partition);
};

}  // namespace millrace::writer
