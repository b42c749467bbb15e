#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <millrace/telemetry/batch.hpp>
#include <millrace/telemetry/payload.hpp>

#include "ingest/message.hpp"
#include "ingest/metric_names.hpp"
#include "ingest/publisher.hpp"

namespace millrace::gateway {

/// Bytes a record in flight costs beyond its value: our own book-keeping and librdkafka's.
inline constexpr std::size_t kInFlightOverhead = 768;

/// What an adapter that puts bodies together takes at most. The decoder's own limit answers with the reason; this one
/// is for what is far beyond it.
inline constexpr std::size_t kMaxBodyBytes = 2 * telemetry::PayloadLimits{}.max_bytes;

/// The way of a message through the gateway, the same for every protocol: decode, validate, encode, publish. One per io
/// thread. Knows no protocol and no Kafka.
class IngestWorker {
 public:
  IngestWorker(RecordPublisher& publisher, RefusedPayloads& refused, MetricNames& names);

  /// On success the waiter gets exactly one outcome (a payload that cannot be decoded gets kKeptAsRefused); on an Error
  /// nothing was produced or kept, and nothing will come. Never blocks.
  [[nodiscard]] Status submit(const Message& message, Waiter waiter);

  [[nodiscard]] bool accepting() const { return publisher_.accepting(); }

 private:
  [[nodiscard]] std::unique_ptr<InFlight> fresh_record();
  [[nodiscard]] std::optional<telemetry::PayloadError> decode(const Message& message);
  [[nodiscard]] Status keep_refused(const Message& message, telemetry::PayloadError error, Waiter waiter);

  RecordPublisher& publisher_;
  RefusedPayloads& refused_;
  MetricNamesCache names_;
  telemetry::PayloadDecoder decoder_;
  telemetry::BatchCodec codec_;
  telemetry::Batch batch_;
  std::vector<std::unique_ptr<InFlight>> spare_;
};

}  // namespace millrace::gateway
