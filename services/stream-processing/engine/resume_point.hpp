#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>
#include <millrace/telemetry/record_mark.hpp>

namespace millrace::stream {

/// The log time was moved on by the clock, because the partition was idle, when `offset` was the next record.
struct Tick {
  std::int64_t offset = 0;
  TimeUs log_time = 0;
  bool operator==(const Tick&) const = default;
};

/// What goes with a committed position, in the offset's metadata: enough to have the same state again from the log.
struct ResumePoint {
  static constexpr std::size_t kMostTicks = 64;

  /// First record of the oldest window that is still open; the position itself if none is.
  std::int64_t replay_from = 0;
  /// Of the log that the position belongs to; grows with every break that an operator has accepted.
  std::int32_t generation = 0;
  std::string cluster_id;
  TimeUs log_time = 0;                        ///< at the position
  std::optional<telemetry::RecordMark> last;  ///< of the record before the position
  std::vector<Tick> ticks;                    ///< at or behind replay_from, in order
  bool operator==(const ResumePoint&) const = default;
};

/// Text below 4,096 bytes, the broker's limit for offset metadata.
[[nodiscard]] std::string encode(const ResumePoint& point);

/// Where another generation of the log goes on, whose first record is `from`: what the log still holds before it is
/// read again for the windows that `old` has open, and none that it has closed opens anew.
[[nodiscard]] ResumePoint carried_over(const ResumePoint& old, std::int32_t generation, std::int64_t from);

/// kCorrupt if it was not made by encode() of this or an earlier version.
[[nodiscard]] Result<ResumePoint> decode_resume_point(std::string_view text);

}  // namespace millrace::stream
