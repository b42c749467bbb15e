#include "mqtt/device_message.hpp"

#include <utility>

#include <millrace/observability/trace.hpp>

namespace millrace::gateway {

// One walk: most messages have no properties at all, and those of a stored message answer no look-ups.
DeviceMessage read_properties(const mqtt::Properties& properties) {
  DeviceMessage said;
  bool has_message_id = false;
  bool has_traceparent = false;
  bool has_ack = false;
  mqtt::PropertyReader reader = properties.reader();
  for (mqtt::Property property; reader.next(property);) {
    if (property.id == mqtt::PropertyId::kContentType) said.content_type = property.text;
    if (property.id != mqtt::PropertyId::kUserProperty) continue;
    if (property.text == "message-id" && !std::exchange(has_message_id, true)) said.message_id = property.value;
    if (property.text == "traceparent" && !std::exchange(has_traceparent, true)) said.traceparent = property.value;
    if (property.text == "ack" && !std::exchange(has_ack, true)) said.ack = property.value;
  }
  if (!observability::is_traceparent(said.traceparent)) said.traceparent = {};
  return said;
}

std::string session_name(std::string_view device, std::string_view client_id) {
  std::string name;
  name.reserve(device.size() + 1 + client_id.size());
  return name.append(device).append("/").append(client_id);
}

SessionOwner owner_of(std::string_view session_name) {
  const std::size_t slash = session_name.find('/');
  return {session_name.substr(0, slash), session_name.substr(slash + 1)};
}

}  // namespace millrace::gateway
