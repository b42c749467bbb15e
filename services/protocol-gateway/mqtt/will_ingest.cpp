#include "mqtt/will_ingest.hpp"

#include <utility>

#include <boost/asio/post.hpp>

#include "identity/children.hpp"
#include "mqtt/device_message.hpp"

namespace millrace::gateway {
namespace {

// Which version the client spoke is forgotten by now.
telemetry::Protocol protocol_of(const mqtt::Message& will) {
  return will.properties.empty() ? telemetry::Protocol::kMqtt311 : telemetry::Protocol::kMqtt5;
}

}  // namespace

void WillIngest::take(std::shared_ptr<const Identity> whose, const std::string& session, mqtt::MessagePtr will) {
  const std::size_t index = std::hash<std::string>{}(session) % threads_.size();
  boost::asio::post(threads_.context(index), [this, index, whose = std::move(whose), session, will = std::move(will)] {
    publish(index, *whose, session, will);
  });
}

void WillIngest::publish(std::size_t io_index, const Identity& whose, const std::string& session,
                         const mqtt::MessagePtr& will) {
  const auto& [tenant, device, device_key, enabled] = whose.device;
  if (!authenticator_.valid_until(whose)) return refuse(*will);
  const TopicRights rights = TopicRights::of(registry_, tenant, device);
  const auto publishing = TopicPolicy::of_device(device, &rights).publishing(will->topic);
  if (publishing.use == TopicPolicy::Use::kForbidden) return refuse(*will);
  if (publishing.use == TopicPolicy::Use::kLocal) return locally_(tenant, will);
  if (publishing.child.empty()) {
    // What `whose` is held to belongs to the thread of the connection.
    auto own = std::make_shared<const Identity>(Identity{whose.device, whose.proof, whose.key});
    return submit(io_index, std::move(own), owner_of(session).client_id, publishing, *will);
  }
  auto child = child_identity(registry_, whose, publishing.child);
  if (!child) return refuse(*will);
  submit(io_index, std::move(child), session, publishing, *will);
}

void WillIngest::refuse(const mqtt::Message& will) const {
  metrics_.ingested(protocol_of(will), IngestResult::kUnauthorized).add();
}

void WillIngest::submit(std::size_t io_index, std::shared_ptr<const Identity> identity, std::string_view client_id,
                        const TopicPolicy::Publishing& publishing, const mqtt::Message& will) {
  const auto protocol = protocol_of(will);
  mqtt::PropertyWriter properties;
  properties.add_encoded(will.properties);
  const DeviceMessage said = read_properties(properties.view());
  Message message{.identity = std::move(identity),
                  .protocol = protocol,
                  .qos = static_cast<std::uint8_t>(will.qos),
                  .topic = will.topic,
                  .content_type = said.content_type,
                  .payload = will.payload,
                  .metric_prefix = publishing.metric_prefix,
                  .metric = publishing.metric,
                  .format = publishing.format,
                  .traceparent = said.traceparent,
                  .facts = {}};
  message.facts.message_id.assign(said.message_id);
  message.facts.client_id.assign(client_id);
  if (!workers_[io_index]->submit(message, {}).ok()) metrics_.ingested(protocol, IngestResult::kDropped).add();
}

}  // namespace millrace::gateway
