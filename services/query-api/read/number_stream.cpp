#include "read/number_stream.hpp"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <string>

namespace millrace::query_api {
namespace {

using storage_schema::PackedNumber;

bool by_time(const PackedNumber& a, const PackedNumber& b) { return a.time < b.time; }

enum Column { kTime, kValue, kOther, kUntimed, kPackedAt };

/// COPY takes no parameters: these are numbers and times only. Integers too large for `value` are in `other` (kind 1).
std::string copy_of(const Series& series, TimeUs from, TimeUs to) {
  const std::string begin = "'" + format_rfc3339(from) + "'::timestamptz";
  const std::string end = "'" + format_rfc3339(to) + "'::timestamptz";
  const auto of_series = [&series](const std::string& t) {
    return t + ".device_id = " + std::to_string(series.device_key) + " AND " + t +
           ".metric = " + std::to_string(series.metric_id);
  };
  const auto numbers = [&](const std::string& t) {
    return " AND " + t + ".time >= " + begin + " AND " + t + ".time < " + end + " AND (" + t +
           ".value IS NOT NULL OR " + t + ".kind = 1)";
  };
  const auto row = [](const std::string& t) {
    return "SELECT " + t + ".time, " + t + ".value, " + t + ".other, " + t + ".untimed, " +
           storage_schema::kNoPackedColumns;
  };
  const std::string segments = " WHERE " + of_series("g") + " AND g.day >= (" + begin +
                               " AT TIME ZONE 'UTC')::date AND g.day <= (" + end +
                               " AT TIME ZONE 'UTC')::date AND g.start < " + end + " AND g.stop >= " + begin;
  return "COPY (" + row("s") + " FROM storage.sample s WHERE " + of_series("s") + numbers("s") + " UNION ALL " +
         row("e") + " FROM storage.segment g CROSS JOIN LATERAL storage.expand(g) e" + segments +
         " AND g.kinds IS NOT NULL" + numbers("e") + " UNION ALL SELECT g.start, NULL, NULL, g.untimed, " +
         storage_schema::kPackedColumns + " FROM storage.segment g" + segments +
         " AND g.kinds IS NULL ORDER BY 1) TO STDOUT (FORMAT binary)";
}

Number number_of(const postgres::CopyFields& row) {
  Number number{.time = row.timestamptz(kTime), .untimed = !row.is_null(kUntimed) && row.boolean(kUntimed)};
  if (!row.is_null(kValue)) {
    number.value = row.float8(kValue);
    return number;
  }
  const std::string_view digits = row.text(kOther);
  std::from_chars(digits.data(), digits.data() + digits.size(), number.whole);
  number.is_whole = true;
  number.value = static_cast<double>(number.whole);
  return number;
}

}  // namespace

void NumberMerge::give(const PackedNumber& number) {
  if (number.time < from_ || number.time >= to_) return;
  each_({.time = number.time, .value = number.value, .untimed = number.untimed});
}

void NumberMerge::give_before(TimeUs time) {
  while (next_ < pending_.size() && pending_[next_].time < time) give(pending_[next_++]);
}

void NumberMerge::add(const Number& row) {
  give_before(row.time);
  each_(row);
}

void NumberMerge::add(std::vector<PackedNumber>& numbers) {
  if (numbers.empty()) return;
  give_before(numbers.front().time);
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(next_));
  next_ = 0;
  if (pending_.empty()) {
    pending_.swap(numbers);
    return;
  }
  std::vector<PackedNumber> both;
  both.reserve(pending_.size() + numbers.size());
  std::merge(pending_.begin(), pending_.end(), numbers.begin(), numbers.end(), std::back_inserter(both), by_time);
  pending_ = std::move(both);
}

void NumberMerge::finish() {
  while (next_ < pending_.size()) give(pending_[next_++]);
}

Status read_numbers(postgres::Connection& connection, const Series& series, TimeUs from, TimeUs to,
                    const NumberMerge::Each& each) {
  NumberMerge merge(from, to, each);
  std::vector<PackedNumber> unpacked;
  Status outcome;
  const auto copied = connection.copy_out(copy_of(series, from, to), [&](const postgres::CopyFields& row) {
    if (!outcome.ok()) return;
    if (row.is_null(kPackedAt)) return merge.add(number_of(row));
    unpacked.clear();
    const bool untimed = !row.is_null(kUntimed) && row.boolean(kUntimed);
    outcome = storage_schema::unpack(row.timestamptz(kTime), untimed, row, kPackedAt, unpacked);
    if (outcome.ok()) merge.add(unpacked);
  });
  if (!copied.ok()) return copied.error();
  if (outcome.ok()) merge.finish();
  return outcome;
}

}  // namespace millrace::query_api
