#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>

namespace millrace::gateway {

/// What messages of a topic become.
enum class BridgeUse : std::uint8_t {
  kTelemetry = 1,
  kCommand = 2,  ///< recorded as a command event, never as telemetry
};

/// A message of a broker as the journal keeps it: with what it was taken for, so that a changed configuration changes
/// nothing about what was taken before. The views live as long as the bytes they were decoded from.
struct BridgeEntry {
  BridgeUse use = BridgeUse::kTelemetry;
  std::uint8_t qos = 0;
  TimeUs taken = 0;
  std::string_view broker;
  std::string_view tenant;
  std::string_view device;
  std::string_view metric_prefix;
  std::string_view topic;
  std::string_view content_type;
  std::string_view message_id;
  std::string_view traceparent;
  std::string_view payload;
  bool operator==(const BridgeEntry&) const = default;
};

/// Replaces `out`. The texts are at most 65,535 bytes long, as MQTT has them.
void encode(const BridgeEntry& entry, std::string& out);

/// kCorrupt: these bytes are no entry, or one of a later version of the program.
[[nodiscard]] Result<BridgeEntry> decode_bridge_entry(std::string_view bytes);

}  // namespace millrace::gateway
