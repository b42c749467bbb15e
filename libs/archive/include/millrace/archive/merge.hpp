#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <millrace/archive_format/rows.hpp>

namespace millrace::archive {

using archive_format::Row;
using archive_format::RowBlock;
using archive_format::RowKey;

/// Rows in strictly ascending order of their keys, one at a time.
class RowSource {
 public:
  virtual ~RowSource() = default;
  /// Null at the end. The row lives until the next call.
  [[nodiscard]] virtual Result<const Row*> next() = 0;
};

/// A row with a text of its own.
struct OwnedRow {
  Row row;
  std::string text;
  explicit OwnedRow(const Row& from) : row(from), text(from.other) {}
  [[nodiscard]] Row view() const {
    Row out = row;
    out.other = text;
    return out;
  }
};

/// Rows in memory.
class VectorSource final : public RowSource {
 public:
  explicit VectorSource(std::span<const OwnedRow> rows) : rows_(rows) {}
  [[nodiscard]] Result<const Row*> next() override;

 private:
  std::span<const OwnedRow> rows_;
  std::size_t at_ = 0;
  Row row_;
};

/// What is archived and what came since, as one sequence in strictly ascending order, over stretches that follow each
/// other. A time that a device gave is a natural key: of two rows with one key the later one counts. A row whose time
/// the platform stamped neither replaces nor is replaced: it moves on by 1 us until its place is free, as the writer
/// does it (of two such rows the later one moves), from one stretch to the next if need be. One thread.
class Merge {
 public:
  using Each = std::function<Status(const Row&)>;

  /// Gives the rows with keys before `end`, all where there is none. Ends at the first failure of a source or of
  /// `each`. A row that `each` refuses was not given: it comes again, from sources that begin at its key or before it
  /// but behind the last one that was given.
  [[nodiscard]] Status run(RowSource& archived, RowSource& later, const std::optional<RowKey>& end, const Each& each);

  /// While rows wait for their place: the key at which the sources must begin for a new Merge to come to the same
  /// state.
  [[nodiscard]] const std::optional<RowKey>& since() const { return since_; }

 private:
  void move(const Row& row);
  void move_on();
  [[nodiscard]] Status give_moved(const Each& each);

  std::map<RowKey, OwnedRow> moved_;  // had to make room, by the key they have now
  std::optional<RowKey> since_;
};

/// The whole of both sources.
[[nodiscard]] Status merge(RowSource& archived, RowSource& later, const Merge::Each& each);

}  // namespace millrace::archive
