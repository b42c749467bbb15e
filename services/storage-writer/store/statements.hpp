#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/postgres/connection.hpp>

#include "batch/batch.hpp"
#include "batch/name_table.hpp"

/// Statements that both ways into the database use. Each blocks until the connection's deadline.
namespace millrace::writer {

/// First row of a partition; an existing one stays.
[[nodiscard]] Status create_offset(postgres::Connection& connection, std::string_view topic, std::int32_t partition,
                                   std::int64_t next_offset, std::string_view cluster_id);

/// How far a partition is stored, from what it was to what it will be.
struct OffsetMove {
  std::string_view topic;
  std::int32_t partition = 0;
  std::int32_t generation = 0;
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::optional<RecordMark> last = std::nullopt;  ///< of the record before `end`; none: not kept for this topic
  TimeUs log_time = 0;
};
/// Compare-and-set of all of them inside the caller's transaction, one statement. kConflict: an offset is not `begin`,
/// somebody else moved it; `fenced` is the first such one then, of `moves`.
[[nodiscard]] Status move_offsets(postgres::Connection& connection, std::span<const OffsetMove> moves,
                                  const OffsetMove*& fenced);

/// Ids of the names, creating what is missing and giving a metric of unknown type its type, committed before it
/// returns.
[[nodiscard]] Result<std::vector<std::int32_t>> metric_ids(postgres::Connection& connection,
                                                           std::span<const MetricName> names);

}  // namespace millrace::writer
