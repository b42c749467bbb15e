#include "store/ledger.hpp"

#include <algorithm>

namespace millrace::writer {
namespace {

/// Finds the row of a record. Records come in runs, so nearly always it is the row of the one before.
class Rows {
 public:
  explicit Rows(const Batch& batch) {
    for (const auto& [partition, slice] : batch.slices) {
      for (const HourOfLog& hour : slice.hours) {
        LedgerRow row;
        row.partition = partition;
        row.generation = slice.generation;
        row.hour = hour.hour;
        row.first_offset = hour.begin;
        row.next_offset = hour.end;
        rows_.push_back(row);
      }
    }
  }

  /// Every record of a slice lies in one of its hours (Batch::count_hour). One that does not ends the process: counted
  /// wrongly is worse, and beside the table worse still.
  [[nodiscard]] LedgerRow& of(std::int32_t partition, std::int64_t offset) {
    if (!holds(rows_.at(last_), partition, offset)) {
      const auto found =
          std::find_if(rows_.begin(), rows_.end(), [&](const LedgerRow& row) { return holds(row, partition, offset); });
      last_ = static_cast<std::size_t>(found - rows_.begin());
    }
    return rows_.at(last_);
  }
  [[nodiscard]] LedgerRow& of(const Row& row) { return of(row.partition, row.offset); }

  [[nodiscard]] std::vector<LedgerRow> take() { return std::move(rows_); }

 private:
  static bool holds(const LedgerRow& row, std::int32_t partition, std::int64_t offset) {
    return row.partition == partition && offset >= row.first_offset && offset < row.next_offset;
  }
  std::vector<LedgerRow> rows_;
  std::size_t last_ = 0;
};

}  // namespace

std::vector<LedgerRow> ledger_of(const Batch& batch, const Changes& changes) {
  Rows rows(batch);
  for (const Row& row : batch.rows) ++rows.of(row).points;
  for (const NewSample& sample : changes.inserts) ++rows.of(batch.rows[sample.source]).inserted;
  for (const NewSample& sample : changes.replaced) ++rows.of(batch.rows[sample.source]).replaced;
  for (const auto& [partition, slice] : batch.slices) {
    for (const DroppedCopy& copy : slice.copies) ++rows.of(partition, copy.offset).copies;
    for (const DeadLetter& dead : slice.dead) {
      LedgerRow& row = rows.of(partition, dead.offset);
      row.dead_records += dead.points.empty() ? 1 : 0;
      const auto points = static_cast<std::int64_t>(dead.points.size());
      row.dead_points += points;
      row.points += points;
    }
  }
  return rows.take();
}

}  // namespace millrace::writer
