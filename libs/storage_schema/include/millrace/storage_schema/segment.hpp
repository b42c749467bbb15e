#pragma once

#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>
#include <millrace/postgres/connection.hpp>

namespace millrace::storage_schema {

/// One number of a segment.
struct PackedNumber {
  TimeUs time = 0;
  double value = 0;
  bool untimed = false;
  bool operator==(const PackedNumber&) const = default;
};

/// What unpack() wants of a segment `g` whose values are numbers (`g.kinds IS NULL`) beside its `start` and `untimed`,
/// as neighbouring columns of a binary COPY.
inline constexpr const char* kPackedColumns = "g.n, g.scale, g.step, g.t4, g.t8, g.v2, g.v4, g.v8, g.untimed_at";
/// The same columns of no segment.
inline constexpr const char* kNoPackedColumns =
    "NULL::int4, NULL::int2, NULL::int8, NULL::int4[], NULL::int8[], NULL::int2[], NULL::int4[], NULL::float8[],"
    " NULL::boolean[]";

/// Appends the points of a segment in the order of time: exactly what storage.expand() makes of it, at a tenth of its
/// price. `untimed` is the segment's own, false where it is NULL. kCorrupt: the columns contradict each other.
[[nodiscard]] Status unpack(TimeUs start, bool untimed, const postgres::CopyFields& row, int first_column,
                            std::vector<PackedNumber>& numbers);

}  // namespace millrace::storage_schema
