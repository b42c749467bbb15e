#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <millrace/storage_schema/log_position.hpp>
#include <millrace/telemetry/receipt.hpp>

namespace millrace::query_api {

/// Numbers as in query.v1.ReceiptState.
enum class ReceiptState {
  kUnknown = 1,
  kPending = 2,
  kStored = 3,
  kPartly = 4,
  kDeadLettered = 5,
  kRefused = 6,
  kLost = 7,
  kExpired = 8,
};

/// Reasons of kUnknown. Neither tells one tenant what another has.
inline constexpr const char* kNoPartition = "the log has no such partition";
inline constexpr const char* kBeyondTheLog = "beyond the end of the log";
inline constexpr const char* kNotOfTheTenant = "no record of this tenant is there";

struct ReceiptAnswer {
  ReceiptState state = ReceiptState::kUnknown;
  std::string reason;
  std::string original;  ///< receipt of the record it repeats
};

/// kUnknown, and why.
[[nodiscard]] ReceiptAnswer unknown(std::string reason);

/// What the database says about one offset.
struct StoredFacts {
  bool known_partition = false;  ///< there is an offset row
  std::int32_t generation = 0;
  std::int64_t next_offset = 0;
  std::vector<storage_schema::LogBreak> breaks;  ///< since the receipt's generation, oldest first
  std::optional<std::int64_t> original_offset;   ///< it was dropped as a copy of this one
  struct Dead {
    std::vector<std::int32_t> points;  ///< empty: all
    std::string reason;
  };
  std::optional<Dead> dead;  ///< of the original, where it is a copy
};

/// What the log says about it.
struct LogFacts {
  std::int64_t low = 0;
  std::int64_t high = 0;
  std::optional<std::string> tenant;  ///< of the record; empty: there is none at that offset
  std::size_t points = 0;             ///< of the record; only used where some are dead
};

/// The decision, from facts alone. `tenant` asks.
[[nodiscard]] ReceiptAnswer decide(const telemetry::Receipt& receipt, const std::string& tenant,
                                   const StoredFacts& stored, const LogFacts& log);

}  // namespace millrace::query_api
