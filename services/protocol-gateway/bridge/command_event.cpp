#include "bridge/command_event.hpp"

#include <millrace/base/ids.hpp>

#include "millrace/commands/v1/command_event.pb.h"

namespace millrace::gateway {

kafka::OutgoingRecord command_event(const std::string& topic, const BridgeEntry& entry, const telemetry::IngestId& id) {
  commands::v1::CommandEvent event;
  std::string name(reinterpret_cast<const char*>(id.start.data()), id.start.size());
  for (unsigned i = 0; i < sizeof(id.counter); ++i) name.push_back(static_cast<char>((id.counter >> (8 * i)) & 0xff));
  event.set_id(std::move(name));
  event.set_kind(commands::v1::CommandEvent::KIND_OBSERVED);
  event.set_tenant(entry.tenant.data(), entry.tenant.size());
  event.set_device(entry.device.data(), entry.device.size());
  event.set_time_us(entry.taken);
  event.set_broker(entry.broker.data(), entry.broker.size());
  event.set_topic(entry.topic.data(), entry.topic.size());
  event.set_qos(entry.qos);
  event.set_content_type(entry.content_type.data(), entry.content_type.size());
  event.set_payload(entry.payload.data(), entry.payload.size());
  event.set_traceparent(entry.traceparent.data(), entry.traceparent.size());
  return {.topic = topic, .key = record_key(entry.tenant, entry.device), .value = event.SerializeAsString()};
}

}  // namespace millrace::gateway
