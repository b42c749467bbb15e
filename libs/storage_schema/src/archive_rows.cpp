#include <millrace/storage_schema/archive_rows.hpp>

namespace millrace::storage_schema {
namespace {

/// `is_null(column)` and the like of either form of a row.
template <class Cells>
archive::Row row_of(const Cells& cells) {
  archive::Row row;
  row.key = {static_cast<std::int32_t>(cells.integer(0)), static_cast<std::int32_t>(cells.integer(1)),
             cells.timestamptz(2)};
  if (!cells.is_null(3)) row.number = cells.float8(3);
  if (!cells.is_null(4)) row.kind = static_cast<std::uint8_t>(cells.integer(4));
  if (!cells.is_null(5)) row.other = cells.text(5);
  row.untimed = !cells.is_null(6) && cells.boolean(6);
  return row;
}

struct CellsOfRows {
  const postgres::Rows& rows;
  int row;
  [[nodiscard]] bool is_null(int column) const { return rows.is_null(row, column); }
  [[nodiscard]] std::int64_t integer(int column) const { return rows.integer(row, column); }
  [[nodiscard]] double float8(int column) const { return rows.float8(row, column); }
  [[nodiscard]] bool boolean(int column) const { return rows.boolean(row, column); }
  [[nodiscard]] TimeUs timestamptz(int column) const { return rows.timestamptz(row, column); }
  [[nodiscard]] std::string_view text(int column) const { return rows.text(row, column); }
};

}  // namespace

archive::Row archive_row(const postgres::Rows& rows, int row) { return row_of(CellsOfRows{rows, row}); }
archive::Row archive_row(const postgres::CopyFields& fields) { return row_of(fields); }

Result<std::unique_ptr<CursorRows>> CursorRows::open(postgres::Connection& connection, const std::string& select,
                                                     int at_once) {
  if (auto declared = connection.script("DECLARE archive_rows NO SCROLL CURSOR FOR " + select); !declared.ok()) {
    return declared.error();
  }
  return std::unique_ptr<CursorRows>(new CursorRows(connection, at_once));
}

CursorRows::~CursorRows() {
  // Of an aborted transaction it went already.
  if (connection_.usable()) (void)connection_.script("CLOSE archive_rows");
}

Result<const archive::Row*> CursorRows::next() {
  if (at_ == rows_.size()) {
    if (ended_) return static_cast<const archive::Row*>(nullptr);
    auto fetched = connection_.exec("FETCH FORWARD " + std::to_string(at_once_) + " FROM archive_rows");
    if (!fetched.ok()) return fetched.error();
    rows_ = std::move(fetched).value();
    at_ = 0;
    ended_ = rows_.size() < at_once_;
    if (rows_.empty()) return static_cast<const archive::Row*>(nullptr);
  }
  row_ = archive_row(rows_, at_++);
  return static_cast<const archive::Row*>(&row_);
}

}  // namespace millrace::storage_schema
