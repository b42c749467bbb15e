#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bridge/bridge_entry.hpp"
#include "bridge/topic_pattern.hpp"

namespace millrace::gateway {

/// One kind of topic of a broker: what is subscribed to, and what its messages are.
struct BridgeTopic {
  TopicPattern pattern;
  std::string tenant = {};  ///< where the pattern names none
  std::uint8_t qos = 1;
  BridgeUse use = BridgeUse::kTelemetry;
  std::string metric_prefix = {};
};

/// Whose a message is and what it is for.
struct BridgeTarget {
  std::string_view tenant;
  std::string_view device;
  const BridgeTopic* topic = nullptr;
};

/// None: the topic matches no pattern, or what stands at `{tenant}` or `{device}` is no id. The first pattern that
/// matches holds.
[[nodiscard]] std::optional<BridgeTarget> target_of(const std::vector<BridgeTopic>& topics, std::string_view topic);

/// `devices/{device}/telemetry` with QoS 1, `devices/{device}/status` with QoS 0, `devices/{device}/commands` with
/// QoS 2.
[[nodiscard]] std::vector<BridgeTopic> default_topics(const std::string& tenant);

}  // namespace millrace::gateway
