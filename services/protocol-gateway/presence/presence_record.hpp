#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>
#include <millrace/telemetry/batch.hpp>

namespace millrace::gateway {

/// Why a connection ended. Numbers as in devices.v1.DisconnectCause.
enum class DisconnectCause : std::uint8_t {
  kClient = 1,
  kKeepAlive = 2,
  kTakeover = 3,
  kRevoked = 4,
  kLimit = 5,
  kDrain = 6,
  kProtocolError = 7,
  kLost = 8,
  kGatewayLost = 9,
  kServer = 10,
};
inline constexpr std::size_t kDisconnectCauses = 11;  ///< with the unspecified one
/// `client`, `keep_alive`, …: label of a metric.
[[nodiscard]] std::string_view to_string(DisconnectCause cause);

/// One connection of a device, as long as it lives.
struct Visit {
  std::string tenant;
  std::string device;
  std::string client_id;
  telemetry::Protocol protocol = telemetry::Protocol::kUnspecified;
  std::string address;  ///< `10.0.0.7:51234`
  std::string gateway;
  std::string start;             ///< which start of the gateway, 16 bytes
  std::uint64_t connection = 0;  ///< number within the start
  TimeUs connected = 0;
  std::int32_t device_key = 0;  ///< the registry's number of the device; not in records of presence
  bool operator==(const Visit&) const = default;
};

/// A record of the topic `presence`; devices/v1/presence.proto says what it means.
struct PresenceRecord {
  Visit visit;
  bool connected = false;
  std::optional<std::uint64_t> epoch;  ///< none: the record's own offset
  TimeUs disconnected = 0;
  DisconnectCause cause = DisconnectCause::kLost;
  std::string detail;
  bool operator==(const PresenceRecord&) const = default;
};

[[nodiscard]] std::string encode(const PresenceRecord& record);
/// kCorrupt if the bytes are no such record.
[[nodiscard]] Result<PresenceRecord> decode_presence(std::string_view bytes);

/// The epoch as telemetry carries it. Records of gateways that counted epochs for themselves (count of starts in the
/// upper 24 bits) are in the log beside those of gateways that take offsets: an offset has to be the later one.
[[nodiscard]] constexpr std::uint64_t telemetry_epoch(std::uint64_t offset) { return offset | 1ULL << 63; }

}  // namespace millrace::gateway
