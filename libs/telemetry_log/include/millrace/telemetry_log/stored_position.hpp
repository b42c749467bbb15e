#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace millrace::storage::v1 {
class Progress;
}

namespace millrace::telemetry_log {

/// How far one partition of `telemetry` is stored, and what of it is dead, as one message of the topic storage-progress
/// says it. A plain value.
struct StoredPosition {
  /// A record whose points, all or some, the database refused; or a copy of such a record.
  struct Dead {
    std::int64_t offset = 0;
    std::vector<std::int32_t> points;  ///< indexes; empty: the whole record
    std::string reason;
  };
  enum class Fate : std::uint8_t {
    kNotYet,
    kStored,  ///< or a copy of what is stored
    kDead,
    kUntold,  ///< passed, but this message does not reach back so far
  };

  std::int32_t partition = 0;
  std::int32_t generation = 0;
  std::int64_t next_offset = 0;
  std::optional<std::int64_t> dead_from;  ///< `dead` has all from here on; none: says nothing of dead records
  std::vector<Dead> dead;                 ///< ascending

  [[nodiscard]] Fate fate(std::int64_t offset) const;
  /// Null: not dead, as far as this message says.
  [[nodiscard]] const Dead* find_dead(std::int64_t offset) const;
};

[[nodiscard]] StoredPosition position_of(const storage::v1::Progress& progress);

}  // namespace millrace::telemetry_log
