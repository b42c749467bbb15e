#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>
#include <millrace/kafka/settings.hpp>
#include <millrace/postgres/connection.hpp>
#include <millrace/telemetry/record_mark.hpp>

namespace millrace::storage_schema {

using telemetry::mark_of;
using telemetry::RecordMark;

/// A row of storage.ingest_offset: how far a partition is stored, and of which log.
struct OffsetRow {
  std::int32_t generation = 0;
  std::int64_t generation_from = 0;  ///< first offset of the generation
  std::int64_t next_offset = 0;
  std::int64_t latest_offset = 0;
  std::string cluster_id;
  std::optional<RecordMark> last;  ///< of the record before next_offset; none: not known, or nothing was stored yet
  TimeUs log_time = 0;             ///< running maximum of append times below next_offset
};

/// All rows of a topic, by partition. Blocks until the connection's deadline.
[[nodiscard]] Result<std::map<std::int32_t, OffsetRow>> read_offset_rows(postgres::Connection& connection,
                                                                         std::string_view topic);

/// Whether the log can be the one that the row was written for, before any record is read; a sentence if not.
[[nodiscard]] std::optional<std::string> contradiction(std::int32_t partition, const OffsetRow& row,
                                                       std::string_view cluster_id, const kafka::Watermarks& log);

/// "; nothing of this partition is stored until …": what an operator has to do.
[[nodiscard]] std::string how_to_go_on(std::int32_t partition);

/// A generation's end: what its receipts mean from then on. A row of storage.log_break.
struct LogBreak {
  static constexpr std::int64_t kEverything = std::numeric_limits<std::int64_t>::max();

  std::int32_t generation = 0;  ///< that ended
  std::int64_t lost_from = 0;   ///< records [lost_from, lost_to) of it are lost: never stored, and not in the log
  std::int64_t lost_to = 0;     ///< kEverything: the log was cut or replaced from `resume` on
  std::int64_t resume = 0;      ///< first offset of the next generation
  std::string reason = {};

  /// From `resume` on the log holds other records than before.
  [[nodiscard]] bool replaced() const { return lost_to == kEverything; }
};

/// What the log itself says about a partition whose row does not fit, for plan_break().
struct LogEvidence {
  kafka::Watermarks log;
  bool same_cluster = true;
  enum class Before { kSame, kOther, kGone } before = Before::kGone;  ///< the record before next_offset
  std::optional<std::int64_t> at_position;  ///< offset of the first record at or behind next_offset
  std::optional<std::int64_t> first_newer;  ///< first record appended after row.log_time
};

/// Where the next generation begins and what is lost, or nothing where row and log agree. In doubt it reads again
/// rather than skip: records stored twice can be told apart where they carry a time or an id, lost ones cannot be had
/// back. Pure.
[[nodiscard]] std::optional<LogBreak> plan_break(const OffsetRow& row, const LogEvidence& evidence);

}  // namespace millrace::storage_schema
