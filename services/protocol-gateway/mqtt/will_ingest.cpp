#include "mqtt/will_ingest.hpp"

#include <utility>

#include <boost/asio/post.hpp>

#include <millrace/base/ids.hpp>

#include "mqtt/device_message.hpp"
#include "mqtt/topic_policy.hpp"

namespace millrace::gateway {

void WillIngest::take(const std::string& tenant, const std::string& session, mqtt::MessagePtr will) {
  const std::size_t index = std::hash<std::string>{}(session) % threads_.size();
  boost::asio::post(threads_.context(index),
                    [this, index, tenant, session, will = std::move(will)] { submit(index, tenant, session, *will); });
}

void WillIngest::submit(std::size_t io_index, const std::string& tenant, const std::string& session,
                        const mqtt::Message& will) {
  // Which version the client spoke is forgotten by now.
  const auto protocol = will.properties.empty() ? telemetry::Protocol::kMqtt311 : telemetry::Protocol::kMqtt5;
  const SessionOwner owner = owner_of(session);
  auto device = registry_.find(tenant, owner.device);
  const auto publishing = TopicPolicy::of_device(owner.device).publishing(will.topic);
  if (!device || !device->enabled || publishing.use != TopicPolicy::Use::kIngest) {
    metrics_.ingested(protocol, IngestResult::kUnauthorized).add();
    return;
  }
  auto identity = std::make_shared<Identity>();
  identity->device = std::move(*device);
  identity->key = record_key(tenant, owner.device);
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
  message.facts.client_id.assign(owner.client_id);
  if (!workers_[io_index]->submit(message, {}).ok()) metrics_.ingested(protocol, IngestResult::kDropped).add();
}

}  // namespace millrace::gateway
