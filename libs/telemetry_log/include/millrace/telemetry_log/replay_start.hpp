#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>

namespace millrace::telemetry_log {

/// From where stream-processing reads a partition again after a restart, as the metadata of its committed offset says
/// it. What it reads for copies before that goes by its own settings, back from `log_time`.
struct ReplayStart {
  std::int64_t offset = 0;  ///< of the oldest open window's first record; the committed offset if none is open
  std::int32_t generation = 0;
  std::string cluster_id;
  TimeUs log_time = 0;  ///< at the committed offset
};

/// kCorrupt for anything but what stream-processing commits.
[[nodiscard]] Result<ReplayStart> read_replay_start(std::string_view metadata);

}  // namespace millrace::telemetry_log
