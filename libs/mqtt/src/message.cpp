#include <utility>

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
Message copy(const Packet& packet, TimePoint now) {
  Message message;
  message.topic = packet.topic;
  message.payload = packet.payload;
  message.properties = forwardable_bytes(packet.properties);
  message.qos = packet.qos;
  message.retain = packet.retain;
  if (const auto seconds = packet.properties.number(PropertyId::kMessageExpiryInterval)) {
    message.expires_at = now + std::chrono::seconds(*seconds);
  }
  return message;
}

struct Charged {
  Message message;
  MemoryCharge charge;
};

MessagePtr charged(Message&& message, MemoryCharge&& charge) {
  auto both = std::make_shared<Charged>(std::move(message), std::move(charge));
  return {both, &both->message};
}

}  // namespace

MessagePtr make_message(const Publish& publish, TimePoint now) { return std::make_shared<Message>(copy(publish, now)); }
MessagePtr make_message(const Will& will, TimePoint now) { return std::make_shared<Message>(copy(will, now)); }

MessagePtr make_message(const Publish& publish, TimePoint now, std::shared_ptr<MemoryShare> share) {
  MemoryCharge charge(std::move(share));
  // Before memory is spent on the copy. What the properties lose on their way is not worth counting twice.
  if (!charge.take(sizeof(Message) + publish.topic.size() + publish.payload.size() + publish.properties.bytes().size()))
    return nullptr;
  return charged(copy(publish, now), std::move(charge));
}

MessagePtr keep_anyway(Message message, std::shared_ptr<MemoryShare> share) {
  MemoryCharge charge(std::move(share));
  charge.take_anyway(message.cost());
  return charged(std::move(message), std::move(charge));
}

}  // namespace millrace::mqtt
