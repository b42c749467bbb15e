#include "ingest/ingest_worker.hpp"

#include <algorithm>

namespace millrace::gateway {

using telemetry::PayloadError;
using telemetry::PayloadFault;

namespace {

// It goes back to the device: cut, and without what is no visible ASCII.
PayloadError unknown_format(std::string_view content_type) {
  constexpr std::size_t kShown = 64;
  std::string shown(content_type.substr(0, kShown));
  std::replace_if(shown.begin(), shown.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  return {PayloadFault::kUnknownFormat,
          "the content type '" + shown + "' is not understood: " + std::string(telemetry::kFormatsTaken),
          {},
          {}};
}

PayloadError unusable(const registry_view::DeviceType& type) {
  return {PayloadFault::kUnsupported,
          "the descriptor of device type '" + type.name + "' cannot be used by this gateway: " + type.problem,
          {},
          {}};
}

}  // namespace

IngestWorker::IngestWorker(RecordPublisher& publisher, RefusedPayloads& refused, MetricNames& names, Limiter& limiter,
                           const TypeSource& types)
    : publisher_(publisher), refused_(refused), names_(names), limiter_(limiter), types_(types) {}

std::optional<PayloadError> IngestWorker::decode_payload(const Message& message) {
  const registry_view::Device& device = message.identity->device;
  const registry_view::DeviceType* type = message.identity->known_type.now(types_, device);
  const auto of_type = type == nullptr ? std::nullopt : std::optional(type->format);
  const auto format =
      message.said ? message.said : telemetry::choose_format(message.content_type, of_type, message.format);
  if (!format) return unknown_format(message.content_type);
  batch_.ingest_time = message.kept ? message.kept->taken : now_us();
  telemetry::DecodeOptions options{device.device, message.metric_prefix, message.metric, batch_.ingest_time};
  if (format == telemetry::PayloadFormat::kProtobuf && type != nullptr) {
    if (!type->problem.empty()) return unusable(*type);
    options.schema = type->schema.get();
  }
  return decoder_.decode(*format, message.payload, options, batch_);
}

std::optional<PayloadError> IngestWorker::decode(const Message& message) {
  const registry_view::Device& device = message.identity->device;
  if (auto error = decode_payload(message)) return error;
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

std::unique_ptr<InFlight> IngestWorker::fresh_record() {
  if (spare_.empty()) publisher_.take_spare(spare_);
  if (spare_.empty()) return std::make_unique<InFlight>();
  auto record = std::move(spare_.back());
  spare_.pop_back();
  return record;
}

Submitted IngestWorker::submit(const Message& message, Waiter waiter) {
  HeldTo& held = message.identity->held;
  const std::size_t bytes = message.payload.size();
  // What the bridge has in its journal is acknowledged already: it is past the limits.
  const bool limited = !message.kept;
  if (limited) {
    if (const auto over = limiter_.admit(message.identity->device, held, bytes)) return Submitted(*over);
  }
  if (auto error = decode(message)) return keep_refused(message, std::move(*error), std::move(waiter));
  if (limited) {
    if (const auto over = limiter_.charge_points(held, bytes, batch_.points.size())) return Submitted(*over);
  }
  const registry_view::Device& device = message.identity->device;
  batch_.ingest_id = message.kept ? message.kept->ingest_id : telemetry::IngestId{publisher_.start_id(), 0};
  batch_.delivery = message.facts;
  batch_.delivery.payload_hash = hash64(message.payload, hash64(message.content_type, hash64(message.topic)));
  batch_.tenant = device.tenant;
  batch_.device = device.device;
  batch_.device_key = device.device_key;
  batch_.protocol = message.protocol;
  batch_.qos = message.qos;
  batch_.topic.assign(message.topic);
  batch_.traceparent.assign(message.traceparent);
  batch_.answer_when_stored = message.until_stored && waiter.sink != nullptr;
  auto record = fresh_record();
  codec_.encode(batch_, record->value);
  record->identity = message.identity;
  record->waiter = std::move(waiter);
  record->protocol = message.protocol;
  record->named = message.kept.has_value();
  record->counter = batch_.ingest_id.counter;
  record->ingest_time = batch_.ingest_time;
  record->until_stored = batch_.answer_when_stored;
  record->taken = std::chrono::steady_clock::now();
  return publisher_.submit(std::move(record));
}

}  // namespace millrace::gateway
