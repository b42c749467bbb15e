#include "bridge/topic_map.hpp"

#include <millrace/base/ids.hpp>

namespace millrace::gateway {

std::optional<BridgeTarget> target_of(const std::vector<BridgeTopic>& topics, std::string_view topic) {
  for (const BridgeTopic& one : topics) {
    const auto named = one.pattern.match(topic);
    if (!named) continue;
    const std::string_view tenant = one.pattern.has_tenant() ? named->tenant : std::string_view(one.tenant);
    if (!is_valid_id(tenant) || !is_valid_id(named->device)) return std::nullopt;
    return BridgeTarget{tenant, named->device, &one};
  }
  return std::nullopt;
}

std::vector<BridgeTopic> default_topics(const std::string& tenant) {
  return {{*TopicPattern::parse("devices/{device}/telemetry"), tenant, 1, BridgeUse::kTelemetry, ""},
          {*TopicPattern::parse("devices/{device}/status"), tenant, 0, BridgeUse::kTelemetry, "status."},
          {*TopicPattern::parse("devices/{device}/commands"), tenant, 2, BridgeUse::kCommand, ""}};
}

}  // namespace millrace::gateway
