#include "export/gathered_rows.hpp"

#include <algorithm>
#include <iterator>

#include <millrace/storage_schema/archive_rows.hpp>

namespace millrace::query_api {
namespace {

bool by_key(const archive::OwnedRow& a, const archive::OwnedRow& b) { return a.row.key < b.row.key; }

/// A boolean, text or JSON without its text.
bool lacks_text(const postgres::CopyFields& fields) { return !fields.is_null(4) && fields.is_null(5); }

}  // namespace

void GatheredRows::add(const postgres::CopyFields& fields) {
  if (left_out_ || !outcome_.ok()) return;
  last_ = {static_cast<std::int32_t>(fields.integer(0)), static_cast<std::int32_t>(fields.integer(1)),
           fields.timestamptz(2)};
  if (fields.size() > kPackedAt && !fields.is_null(kPackedAt)) return add_segment(fields);
  left_out_ = lacks_text(fields);
  if (left_out_) return;
  rows_.emplace_back(storage_schema::archive_row(fields));
  bytes_ += static_cast<std::int64_t>(rows_.back().text.size());
}

void GatheredRows::add_segment(const postgres::CopyFields& fields) {
  numbers_.clear();
  const bool untimed = !fields.is_null(6) && fields.boolean(6);
  outcome_ = storage_schema::unpack(last_.time, untimed, fields, kPackedAt, numbers_);
  for (const storage_schema::PackedNumber& number : numbers_) {
    archive::Row row;
    row.key = {last_.device, last_.metric, number.time};
    if (number.time < scope_.from || number.time >= scope_.to) continue;
    if ((stretch_.after && !(*stretch_.after < row.key)) || (stretch_.until && *stretch_.until < row.key)) continue;
    row.untimed = number.untimed;
    row.number = number.value;
    rows_.emplace_back(row);
  }
}

Result<ExportRows> GatheredRows::take() {
  if (!outcome_.ok()) return outcome_.error();
  // A row that came late lies within a segment of its series; else they are in order.
  if (!std::is_sorted(rows_.begin(), rows_.end(), by_key)) std::sort(rows_.begin(), rows_.end(), by_key);
  ExportRows answer{std::move(rows_), stretch_.until};
  if (left_out_ || bytes_ >= ExportReader::kBytes) {
    // What comes behind the last row of the COPY is missing.
    while (!answer.rows.empty() && last_ < answer.rows.back().row.key) answer.rows.pop_back();
    answer.whole_to = answer.rows.empty() ? stretch_.after : std::optional(answer.rows.back().row.key);
  }
  if (std::ssize(answer.rows) >= ExportReader::kRows) {
    answer.rows.erase(answer.rows.begin() + ExportReader::kRows, answer.rows.end());
    answer.whole_to = answer.rows.back().row.key;
  }
  return answer;
}

}  // namespace millrace::query_api
