#pragma once

#include <string_view>

/// Headers of the records in `telemetry.dead`. The key is the source's (`tenant/device`), the value the original bytes: of
/// a refused message its payload, of a record of `telemetry` its whole value.
namespace millrace::kafka::dead_letter {

inline constexpr std::string_view kKind = "kind";        ///< kKindRefused or kKindDead
inline constexpr std::string_view kTenant = "tenant";
inline constexpr std::string_view kDevice = "device";
inline constexpr std::string_view kReason = "reason";    ///< one sentence for a person
inline constexpr std::string_view kAttempt = "attempt";  ///< how often it was tried, decimal; absent: once
inline constexpr std::string_view kSource = "source";    ///< receipt of the record it came from; absent: none existed
inline constexpr std::string_view kPoints = "points";    ///< indexes of the dead points, `0,3`; absent: all of them
/// Content type of the value: a refused payload's own, or kRecordType.
inline constexpr std::string_view kContentType = "content-type";

/// Evidence only: the gateway told the device that it was refused.
inline constexpr std::string_view kKindRefused = "refused";
/// It was acknowledged and could not be stored.
inline constexpr std::string_view kKindDead = "dead";
/// A telemetry.v1.TelemetryBatch.
inline constexpr std::string_view kRecordType = "application/x-protobuf; messageType=\"millrace.telemetry.v1.TelemetryBatch\"";

}  // namespace millrace::kafka::dead_letter
