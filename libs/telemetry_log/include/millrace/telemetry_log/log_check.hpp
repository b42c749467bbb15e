#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/kafka/consumer.hpp>
#include <millrace/telemetry/record_mark.hpp>

namespace millrace::telemetry_log {

/// A position that somebody keeps in one partition of `telemetry`.
struct KeptPosition {
  std::int32_t partition = 0;
  std::int64_t next_offset = 0;
  std::optional<telemetry::RecordMark> last;  ///< of the record before it; none: not known
};

/// Whether the partition still holds what the position says: its end and beginning, and the record before the
/// position. Returns a sentence for each partition where it does not; where retention removed that record, nothing is
/// said. Reads one record a partition. Blocks up to about 15 s without an answer, then kUnavailable; any thread.
[[nodiscard]] Result<std::map<std::int32_t, std::string>> contradictions(const kafka::Settings& settings,
                                                                         const std::string& topic,
                                                                         std::span<const KeptPosition> positions);

/// The first half of it, from what the broker said: the log ends before the position, or begins behind it.
[[nodiscard]] std::optional<std::string> contradiction(const KeptPosition& position, const kafka::Watermarks& log);

/// A topic's records, without a group, up to given ends; for start-up. `take` gets every record; `stop` ends it early
/// with kUnavailable.
struct Stretch {
  kafka::TopicPartition where;
  std::int64_t from = 0;
  std::int64_t end = 0;  ///< exclusive
};
[[nodiscard]] Status read_stretches(const kafka::Settings& settings, kafka::Isolation isolation,
                                    std::span<const Stretch> stretches,
                                    const std::function<void(const kafka::Record&)>& take,
                                    const std::function<bool()>& stop);

}  // namespace millrace::telemetry_log
