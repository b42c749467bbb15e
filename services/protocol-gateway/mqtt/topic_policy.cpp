#include "mqtt/topic_policy.hpp"

#include "mqtt/topic.hpp"
#include "mqtt/topic_filter.hpp"

namespace millrace::gateway {
namespace {

constexpr mqtt::Offers kAll{};
// What a device hears is for it alone. The wildcard is that of `commands/#`. RETAIN has no effect on readings, but a
// client library that sets it and is told that it may not would only come back and send the same again.
constexpr mqtt::Offers kForDevices{.maximum_qos = mqtt::Qos::kExactlyOnce,
                                   .retain = true,
                                   .wildcard_subscriptions = true,
                                   .subscription_ids = true,
                                   .shared_subscriptions = false};

constexpr std::string_view kDevices = "devices";

std::string_view first_level(std::string_view topic) { return topic.substr(0, topic.find('/')); }

/// Device and what stands behind it of `devices/{device}/…`; both empty for any other topic.
struct OfDevice {
  std::string_view device;
  std::string_view below;
};
OfDevice of_device_topic(std::string_view topic) {
  if (first_level(topic) != kDevices || topic.size() == kDevices.size()) return {};
  topic.remove_prefix(kDevices.size() + 1);
  const std::size_t slash = topic.find('/');
  if (slash == std::string_view::npos) return {};
  return {topic.substr(0, slash), topic.substr(slash + 1)};
}

/// A filter whose first level is a wildcard takes in `devices/`, with the commands and errors of everybody.
bool is_local(std::string_view topic) {
  const std::string_view first = first_level(topic);
  return first != kDevices && first != "+" && first != "#" && !first.starts_with('$');
}

}  // namespace

bool TopicPolicy::speaks_for(std::string_view device) const {
  return device == device_ || (rights_ != nullptr && rights_->speaks_for(device));
}

TopicPolicy::Publishing TopicPolicy::publishing(std::string_view topic) const {
  if (device_.empty()) return {.use = Use::kLocal};
  if (is_local(topic)) {
    const bool allowed = rights_ != nullptr && rights_->may_publish(device_, topic);
    return {.use = allowed ? Use::kLocal : Use::kForbidden};
  }
  const auto ingest = parse_ingest_topic(topic);
  if (!ingest || !speaks_for(ingest->device)) return {};
  const std::string_view child = ingest->device == device_ ? std::string_view() : ingest->device;
  return {Use::kIngest, child, ingest->metric_prefix, ingest->metric, ingest->format};
}

bool TopicPolicy::may_subscribe(std::string_view filter) const {
  if (device_.empty()) return true;
  const std::string_view plain = without_share(filter);
  if (is_local(plain)) return rights_ != nullptr && rights_->may_subscribe(device_, plain);
  constexpr std::string_view kCommands = "commands/";
  const auto [device, below] = of_device_topic(filter);
  if (device.empty() || !speaks_for(device)) return false;
  return below == "errors" || below == "commands" || below.starts_with(kCommands);
}

std::string_view TopicPolicy::child_of(std::string_view filter) const {
  if (device_.empty()) return {};
  const std::string_view device = of_device_topic(filter).device;
  return device == device_ || device == "+" ? std::string_view() : device;
}

const mqtt::Offers& TopicPolicy::offers() const {
  const bool all = device_.empty() || (rights_ != nullptr && rights_->any_local());
  return all ? kAll : kForDevices;
}

}  // namespace millrace::gateway
