#include "read/hot_rows.hpp"

#include <charconv>

#include <millrace/storage_schema/value.hpp>

namespace millrace::query_api {
namespace {

constexpr int kFetchRows = 5'000;

}  // namespace

Result<std::unique_ptr<HotRows>> HotRows::open(postgres::Connection& connection, const std::string& select) {
  if (auto declared = connection.script("DECLARE hot NO SCROLL CURSOR FOR " + select); !declared.ok()) {
    return declared.error();
  }
  return std::unique_ptr<HotRows>(new HotRows(connection));
}

HotRows::~HotRows() {
  // Of an aborted transaction it went already.
  if (connection_.usable()) (void)connection_.script("CLOSE hot");
}

Result<const archive::Row*> HotRows::next() {
  if (at_ == rows_.size()) {
    if (ended_) return static_cast<const archive::Row*>(nullptr);
    auto fetched = connection_.exec("FETCH FORWARD " + std::to_string(kFetchRows) + " FROM hot");
    if (!fetched.ok()) return fetched.error();
    rows_ = std::move(fetched).value();
    at_ = 0;
    ended_ = rows_.size() < kFetchRows;
    if (rows_.empty()) return static_cast<const archive::Row*>(nullptr);
  }
  const int i = at_++;
  row_ = {};
  row_.key = {static_cast<std::int32_t>(rows_.integer(i, 0)), static_cast<std::int32_t>(rows_.integer(i, 1)),
              rows_.timestamptz(i, 2)};
  if (!rows_.is_null(i, 3)) row_.number = rows_.float8(i, 3);
  if (!rows_.is_null(i, 4)) row_.kind = static_cast<std::uint8_t>(rows_.integer(i, 4));
  if (!rows_.is_null(i, 5)) row_.other = rows_.text(i, 5);
  row_.untimed = !rows_.is_null(i, 6) && rows_.boolean(i, 6);
  return static_cast<const archive::Row*>(&row_);
}

// In this order: the lock is had before the transaction's view of the data is taken, which the first SELECT does.
Status begin_moment(postgres::Connection& connection) {
  return connection.script(
      "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; LOCK TABLE ONLY storage.sample IN ACCESS SHARE MODE");
}

std::optional<double> number_of(const archive::Row& row) {
  if (row.kind == static_cast<std::uint8_t>(storage_schema::Kind::kNumber)) return row.number;
  if (row.kind != static_cast<std::uint8_t>(storage_schema::Kind::kInteger)) return std::nullopt;
  std::int64_t whole = 0;
  std::from_chars(row.other.data(), row.other.data() + row.other.size(), whole);
  return static_cast<double>(whole);
}

}  // namespace millrace::query_api
