#include <millrace/mqtt/message.hpp>

namespace millrace::mqtt {
namespace {

constexpr bool forwardable(PropertyId id) {
  return id == PropertyId::kPayloadFormatIndicator || id == PropertyId::kContentType ||
         id == PropertyId::kResponseTopic || id == PropertyId::kCorrelationData || id == PropertyId::kUserProperty;
}

/// [MQTT-3.3.2-4], -15, -16, -17, -18, -20: unaltered and in their order.
std::string forwardable_bytes(const Properties& properties) {
  const bool all = !properties.has(PropertyId::kMessageExpiryInterval) && !properties.has(PropertyId::kTopicAlias) &&
                   !properties.has(PropertyId::kSubscriptionIdentifier) &&
                   !properties.has(PropertyId::kWillDelayInterval);
  if (all) return std::string(properties.bytes());
  PropertyWriter writer;
  PropertyReader reader = properties.reader();
  for (Property property; reader.next(property);) {
    if (!forwardable(property.id)) continue;
    if (property.id == PropertyId::kUserProperty) {
      writer.add_user(property.text, property.value);
    } else if (property.id == PropertyId::kPayloadFormatIndicator) {
      writer.add(property.id, property.number);
    } else {
      writer.add(property.id, property.text);
    }
  }
  return std::string(writer.view().bytes());
}

template <typename Packet>
MessagePtr copy(const Packet& packet, TimePoint now) {
  auto message = std::make_shared<Message>();
  message->topic = packet.topic;
  message->payload = packet.payload;
  message->properties = forwardable_bytes(packet.properties);
  message->qos = packet.qos;
  message->retain = packet.retain;
  if (const auto seconds = packet.properties.number(PropertyId::kMessageExpiryInterval)) {
    message->expires_at = now + std::chrono::seconds(*seconds);
  }
  return message;
}

}  // namespace

MessagePtr make_message(const Publish& publish, TimePoint now) { return copy(publish, now); }
MessagePtr make_message(const Will& will, TimePoint now) { return copy(will, now); }

}  // namespace millrace::mqtt
