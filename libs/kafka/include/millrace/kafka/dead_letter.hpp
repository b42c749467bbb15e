#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/base/result.hpp>

/// Headers of the records in `telemetry.dead`. The key is the source's (`tenant/device`), the value the original bytes:
/// of a refused message its payload, of a record of `telemetry` its whole value.
namespace millrace::kafka::dead_letter {

inline constexpr std::string_view kTenant = "tenant";
inline constexpr std::string_view kDevice = "device";
/// `true`: evidence only, the gateway told the device that it was refused. Absent: it was acknowledged and could not be
/// stored.
inline constexpr std::string_view kRefused = "refused";
inline constexpr std::string_view kReason = "reason";    ///< one word of a closed set
inline constexpr std::string_view kDetail = "detail";    ///< one sentence for a person
inline constexpr std::string_view kTopic = "topic";      ///< MQTT topic or HTTP path
inline constexpr std::string_view kAttempt = "attempt";  ///< how often it was tried, decimal
inline constexpr std::string_view kTimeUs = "time_us";  ///< when it was given up, microseconds since the epoch, decimal
inline constexpr std::string_view kSource = "source";   ///< receipt of the record it came from; absent: none existed
inline constexpr std::string_view kPoints = "points";   ///< indexes of the dead points, `0,3`; absent: all of them
/// Of a record of another topic than telemetry: that topic and its place there, `millrace.windows 3:17`.
inline constexpr std::string_view kLog = "log";
/// Of a replay in `telemetry`: indexes of its points whose time the platform stamped, `0,2`; absent: none.
inline constexpr std::string_view kUntimed = "untimed";

/// `0,3` and back. Text that is no such list is kInvalid.
[[nodiscard]] std::string join_indexes(std::span<const std::int32_t> indexes);
[[nodiscard]] Result<std::vector<std::int32_t>> parse_indexes(std::string_view text);

}  // namespace millrace::kafka::dead_letter
