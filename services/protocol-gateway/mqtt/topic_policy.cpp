#include "mqtt/topic_policy.hpp"

#include "mqtt/topic.hpp"

namespace millrace::gateway {
namespace {

constexpr mqtt::Offers kAll{};
// Readings are not retained, and what a device hears is for it alone. The wildcard is that of `commands/#`.
constexpr mqtt::Offers kForDevices{.maximum_qos = mqtt::Qos::kExactlyOnce,
                                   .retain = false,
                                   .wildcard_subscriptions = true,
                                   .subscription_ids = true,
                                   .shared_subscriptions = false};

/// What stands behind `devices/{device}/`; empty for any other topic.
std::string_view below_device(std::string_view topic, std::string_view device) {
  constexpr std::string_view kRoot = "devices/";
  if (!topic.starts_with(kRoot)) return {};
  topic.remove_prefix(kRoot.size());
  if (!topic.starts_with(device)) return {};
  topic.remove_prefix(device.size());
  return topic.starts_with('/') ? topic.substr(1) : std::string_view();
}

}  // namespace

TopicPolicy::Publishing TopicPolicy::publishing(std::string_view topic) const {
  if (device_.empty()) return {.use = Use::kLocal};
  const auto ingest = parse_ingest_topic(topic);
  if (!ingest || ingest->device != device_) return {};
  return {Use::kIngest, ingest->metric_prefix, ingest->metric, ingest->format};
}

bool TopicPolicy::may_subscribe(std::string_view filter) const {
  if (device_.empty()) return true;
  constexpr std::string_view kCommands = "commands/";
  const std::string_view below = below_device(filter, device_);
  return below == "errors" || below == "commands" || below.starts_with(kCommands);
}

const mqtt::Offers& TopicPolicy::offers() const { return device_.empty() ? kAll : kForDevices; }

}  // namespace millrace::gateway
