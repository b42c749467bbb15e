#pragma once

#include <functional>
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

/// What is archived and what came since, as one sequence in strictly ascending order. A time that a device gave is a
/// natural key: of two rows with one key the later one counts. A row whose time the platform stamped neither replaces
/// nor is replaced: it moves on by 1 us until its place is free, as the writer does it (of two such rows the later one
/// moves). Ends at the first failure of a source or of `each`.
[[nodiscard]] Status merge(RowSource& archived, RowSource& later, const std::function<Status(const Row&)>& each);

}  // namespace millrace::archive
