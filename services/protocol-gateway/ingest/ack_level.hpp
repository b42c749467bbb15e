#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include <millrace/base/result.hpp>

namespace millrace::gateway {

/// When a message is acknowledged: as soon as Kafka has it, or as soon as the database has its points.
enum class AckLevel : std::uint8_t { kBus, kStored };

inline constexpr std::string_view kAckLevels = "the ack level is 'bus' or 'stored'";

/// What a message says of it; none: nothing. kInvalid: something else, which must not silently lose its meaning.
[[nodiscard]] inline Result<std::optional<AckLevel>> parse_ack_level(std::string_view said) {
  if (said.empty()) return std::optional<AckLevel>();
  if (said == "bus") return std::optional(AckLevel::kBus);
  if (said == "stored") return std::optional(AckLevel::kStored);
  return Error{ErrorKind::kInvalid, std::string(kAckLevels)};
}

/// The same of a query's `ack` (`a=b&ack=stored`).
[[nodiscard]] Result<std::optional<AckLevel>> ack_level_of_query(std::string_view query);

}  // namespace millrace::gateway
