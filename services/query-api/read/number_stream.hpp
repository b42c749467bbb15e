#pragma once

#include <functional>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/postgres/connection.hpp>
#include <millrace/storage_schema/segment.hpp>

#include "read/number.hpp"
#include "read/series_reader.hpp"

namespace millrace::query_api {

/// Rows and packed segments of one series, as they come in the order of their first times, as numbers in the order of
/// all times. Pure. Memory: the segments that overlap where it stands.
class NumberMerge {
 public:
  using Each = std::function<void(const Number&)>;

  /// Gives the numbers of [from, to) to `each`.
  NumberMerge(TimeUs from, TimeUs to, Each each) : from_(from), to_(to), each_(std::move(each)) {}

  void add(const Number& row);
  /// `numbers` in the order of time; none is before the rows and the segments' starts that came already.
  void add(std::vector<storage_schema::PackedNumber>& numbers);
  void finish();

 private:
  void give_before(TimeUs time);
  void give(const storage_schema::PackedNumber& number);

  const TimeUs from_;
  const TimeUs to_;
  Each each_;
  std::vector<storage_schema::PackedNumber> pending_;
  std::size_t next_ = 0;  // of pending_
};

/// The numbers of a series in [from, to) from both tiers of the database, in the order of their times: one statement,
/// so one snapshot. Segments are unpacked here, which costs a tenth of what it costs the database. Blocks.
[[nodiscard]] Status read_numbers(postgres::Connection& connection, const Series& series, TimeUs from, TimeUs to,
                                  const NumberMerge::Each& each);

}  // namespace millrace::query_api
