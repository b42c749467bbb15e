#pragma once

#include <cstdint>
#include <memory>
#include <optional>
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

/// What submit() says: taken, or why not.
class [[nodiscard]] Submitted {
 public:
  Submitted() = default;
  Submitted(Status status) : status_(std::move(status)) {}  // NOLINT(google-explicit-constructor)
  explicit Submitted(const OverLimit& over) : status_(Error{ErrorKind::kThrottled, over.message()}), over_(over) {}

  [[nodiscard]] bool ok() const { return status_.ok(); }
  [[nodiscard]] const Error& error() const { return status_.error(); }
  /// Set where the error is a limit of the device or its tenant.
  [[nodiscard]] const std::optional<OverLimit>& over_limit() const { return over_; }

 private:
  Status status_;
  std::optional<OverLimit> over_;
};

/// The way of a message through the gateway, the same for every protocol: limits, decode, validate, encode, publish.
/// One per io thread. Knows no protocol and no Kafka.
class IngestWorker {
 public:
  IngestWorker(RecordPublisher& publisher, RefusedPayloads& refused, MetricNames& names, Limiter& limiter,
               const TypeSource& types);

  /// On success the waiter gets exactly one outcome (a payload that cannot be decoded gets kKeptAsRefused); on an Error
  /// nothing was produced or kept, and nothing will come. Never blocks.
  [[nodiscard]] Submitted submit(const Message& message, Waiter waiter);

  [[nodiscard]] bool accepting() const { return publisher_.accepting(); }
  [[nodiscard]] bool crowded() const { return publisher_.crowded(); }
  [[nodiscard]] std::size_t room() const { return publisher_.room(); }
  /// For an adapter to say what it did with a message over a limit.
  [[nodiscard]] Limiter& limiter() { return limiter_; }

 private:
  [[nodiscard]] std::unique_ptr<InFlight> fresh_record();
  [[nodiscard]] std::optional<telemetry::PayloadError> decode(const Message& message);
  [[nodiscard]] std::optional<telemetry::PayloadError> decode_payload(const Message& message);
  [[nodiscard]] Status keep_refused(const Message& message, telemetry::PayloadError error, Waiter waiter);

  RecordPublisher& publisher_;
  RefusedPayloads& refused_;
  MetricNamesCache names_;
  Limiter& limiter_;
  const TypeSource& types_;
  telemetry::PayloadDecoder decoder_;
  telemetry::BatchCodec codec_;
  telemetry::Batch batch_;
  std::vector<std::unique_ptr<InFlight>> spare_;
};

}  // namespace millrace::gateway
