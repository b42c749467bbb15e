#pragma once

#include <memory>
#include <string>

#include <millrace/archive/merge.hpp>
#include <millrace/postgres/connection.hpp>

namespace millrace::storage_schema {

/// A row of the columns device_id, metric, time, value, kind, other, untimed as the archive has it. Its text belongs to
/// `rows` or `fields`.
[[nodiscard]] archive::Row archive_row(const postgres::Rows& rows, int row);
[[nodiscard]] archive::Row archive_row(const postgres::CopyFields& fields);

/// Rows of a statement as archive::merge takes them: a cursor, read by stretches. Borrows the connection, which must be
/// in a transaction and must not be used otherwise until this goes. One thread; each stretch blocks as a statement
/// does.
class CursorRows final : public archive::RowSource {
 public:
  /// `select` gives the columns of archive_row() in the order of the first three. `at_once`: rows of a stretch.
  [[nodiscard]] static Result<std::unique_ptr<CursorRows>> open(postgres::Connection& connection,
                                                                const std::string& select, int at_once);
  ~CursorRows() override;
  CursorRows(const CursorRows&) = delete;
  CursorRows& operator=(const CursorRows&) = delete;
  [[nodiscard]] Result<const archive::Row*> next() override;

 private:
  CursorRows(postgres::Connection& connection, int at_once) : connection_(connection), at_once_(at_once) {}

  postgres::Connection& connection_;
  const int at_once_;
  postgres::Rows rows_;
  int at_ = 0;
  bool ended_ = false;
  archive::Row row_;
};

}  // namespace millrace::storage_schema
