#include "ingest/ingest_worker.hpp"

namespace millrace::gateway {

using telemetry::PayloadError;
using telemetry::PayloadFault;

IngestWorker::IngestWorker(RecordPublisher& publisher, RefusedPayloads& refused, MetricNames& names)
    : publisher_(publisher), refused_(refused), names_(names) {}

std::optional<PayloadError> IngestWorker::decode(const Message& message) {
  const registry_view::Device& device = message.identity->device;
  const telemetry::DecodeOptions options{device.device, message.metric_prefix};
  if (auto error = message.content_type == telemetry::kCborContentType
                       ? decoder_.decode_cbor(message.payload, options, batch_)
                       : decoder_.decode_json(message.payload, options, batch_))
    return error;
  for (const telemetry::Point& point : batch_.points) {
    if (names_.admit(device.tenant, point.metric)) continue;
    return PayloadError{PayloadFault::kTooManyMetrics,
                        "the tenant has more than " + std::to_string(names_.most()) + " different metric names",
                        {},
                        {}};
  }
  return std::nullopt;
}

Status IngestWorker::keep_refused(const Message& message, PayloadError error, Waiter waiter) {
  return refused_.keep({message.identity, message.protocol, std::string(message.payload), std::string(message.topic),
                        std::make_shared<const PayloadError>(std::move(error)), std::move(waiter)});
}

Status IngestWorker::submit(const Message& message, Waiter waiter) {
  if (auto error = decode(message)) return keep_refused(message, std::move(*error), std::move(waiter));
  const registry_view::Device& device = message.identity->device;
  batch_.ingest_id = message.kept ? message.kept->ingest_id : telemetry::IngestId{publisher_.start_id(), 0};
  batch_.ingest_time = message.kept ? message.kept->taken : now_us();
  batch_.delivery = message.facts;
  batch_.delivery.payload_hash = hash64(message.payload, hash64(message.content_type, hash64(message.topic)));
  batch_.tenant = device.tenant;
  batch_.device = device.device;
  batch_.device_key = device.device_key;
  batch_.protocol = message.protocol;
  batch_.qos = message.qos;
  batch_.topic.assign(message.topic);
  batch_.traceparent.assign(message.traceparent);
  auto record = std::make_unique<InFlight>();
  codec_.encode(batch_, record->value);
  record->identity = message.identity;
  record->waiter = std::move(waiter);
  record->protocol = message.protocol;
  record->named = message.kept.has_value();
  record->counter = batch_.ingest_id.counter;
  record->ingest_time = batch_.ingest_time;
  record->taken = std::chrono::steady_clock::now();
  return publisher_.submit(std::move(record));
}

}  // namespace millrace::gateway
