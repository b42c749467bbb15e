#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <span>

#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>
#include <millrace/postgres/connection.hpp>

namespace millrace::writer {

/// Days since the epoch, UTC.
[[nodiscard]] std::int32_t day_of(TimeUs time);

/// A table that is partitioned by day. Literals: they become part of statements.
struct DayTable {
  const char* name;    ///< without schema; the partition of a day is <name>_YYYYMMDD
  const char* ensure;  ///< function of the schema that makes what is missing of date[]
};
inline constexpr DayTable kSampleDays{"sample", "ensure_days"};
inline constexpr DayTable kWindowDays{"window_result", "ensure_window_days"};

/// Remembers which days have a partition and makes further ones, at most `most`: the tables of one bad clock must not
/// fill the catalogue, and what has no day of its own goes to the default partition, slower. One thread.
class DayPartitions {
 public:
  DayPartitions(DayTable table, std::size_t most) : table_(table), most_(most) {}

  /// Reads what there is. Blocks until the connection's deadline, as the next.
  [[nodiscard]] Status learn(postgres::Connection& connection);
  /// Committed before it returns, a few days at a time; where that fails the next call tries half as many, so that
  /// there is one that ends within the connection's deadline. What was made stays made.
  [[nodiscard]] Status ensure(postgres::Connection& connection, const std::set<std::int32_t>& days);

 private:
  // Each takes locks until its commit, and longer the more days there are.
  static constexpr std::size_t kMostAtOnce = 50;

  [[nodiscard]] Status make(postgres::Connection& connection, std::span<const std::int32_t> days);

  DayTable table_;
  std::size_t most_;
  std::size_t at_once_ = kMostAtOnce;
  std::set<std::int32_t> days_;
};

}  // namespace millrace::writer
