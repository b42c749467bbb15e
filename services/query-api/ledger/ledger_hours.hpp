#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <millrace/base/time.hpp>

namespace millrace::query_api {

/// What the database says of one hour of one partition.
struct HourFacts {
  TimeUs hour = 0;
  std::int32_t partition = 0;
  std::int32_t generation = 0;
  std::int64_t acknowledged = 0;
  /// Where the writer has read of it; none: nothing yet.
  std::optional<std::int64_t> first_offset;
  std::int64_t records = 0;
  std::int64_t copies = 0;
  std::int64_t dead_records = 0;
  std::int64_t points = 0;
  std::int64_t inserted = 0;
  std::int64_t replaced = 0;
  std::int64_t dead_points = 0;
  std::int32_t current_generation = 0;  ///< of the partition
  std::int64_t next_offset = 0;         ///< the writer's, as of the same moment
};

/// What the log says of it, asked after the database.
struct HourOfLog {
  std::int64_t begin = 0;  ///< first offset of the hour and of the current generation
  std::int64_t end = 0;    ///< behind its last
  std::int64_t low = 0;    ///< first offset of the log
};

struct HourAccount {
  std::optional<std::int64_t> in_log;  ///< none: the log of the hour is gone, all or a part
  std::int64_t pending = 0;
  std::int64_t missing = 0;
};

/// The sums of the ledger. Pure.
[[nodiscard]] HourAccount account(const HourFacts& facts, const HourOfLog& log);

}  // namespace millrace::query_api
