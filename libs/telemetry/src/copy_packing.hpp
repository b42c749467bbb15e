#pragma once

#include <cstdint>

#include <millrace/base/time.hpp>

namespace millrace::telemetry {

inline constexpr TimeUs kHour = 3600 * kUsPerSecond;
/// Offsets have 44 bits beside what shares a word with them: 1.7e13 records a partition.
inline constexpr unsigned kOffsetBits = 44;

/// IdMemory: offset in the upper 44 bits, hour in the lower 20.
inline constexpr unsigned kHourBits = 20;
inline constexpr std::uint64_t kHourMask = (1ULL << kHourBits) - 1;

inline std::uint64_t hour_of(TimeUs time) { return static_cast<std::uint64_t>(time / kHour) & kHourMask; }
inline std::uint64_t pack_hour(std::int64_t offset, std::uint64_t hour) {
  return (static_cast<std::uint64_t>(offset) << kHourBits) | (hour & kHourMask);
}
inline std::uint64_t hours_before(std::uint64_t where, std::uint64_t now_hour) {
  return (now_hour - where) & kHourMask;
}

/// MqttMemory and CoapMemory: offset in the upper 44 bits, then 19 bits of time in eighths of a second, then DUP.
inline constexpr unsigned kTickBits = 19;
inline constexpr std::uint64_t kTickMask = (1ULL << kTickBits) - 1;
inline constexpr TimeUs kTick = kUsPerSecond / 8;

inline std::uint64_t ticks_of(TimeUs time) { return static_cast<std::uint64_t>(time / kTick); }
inline std::uint64_t pack_tick(std::int64_t offset, std::uint64_t ticks, bool dup) {
  return (static_cast<std::uint64_t>(offset) << (kTickBits + 1)) | ((ticks & kTickMask) << 1) | (dup ? 1U : 0U);
}
inline std::int64_t offset_of(std::uint64_t where) { return static_cast<std::int64_t>(where >> (kTickBits + 1)); }
inline bool dup_of(std::uint64_t where) { return (where & 1U) != 0; }

/// Age in ticks before `now`; right for anything younger than 18 hours, and older ones are dropped by the time of the
/// last record beside them.
inline std::uint64_t ticks_before(std::uint64_t where, TimeUs now) {
  return (ticks_of(now) - ((where >> 1) & kTickMask)) & kTickMask;
}

}  // namespace millrace::telemetry
