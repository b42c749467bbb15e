#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <millrace/base/result.hpp>
#include <millrace/telemetry/batch.hpp>
#include <millrace/telemetry/payload.hpp>
#include <millrace/telemetry/receipt.hpp>

#include "identity/identity.hpp"

namespace millrace::gateway {

/// What an adapter took off the wire. The views need to live during the call only.
struct Message {
  std::shared_ptr<const Identity> identity;
  telemetry::Protocol protocol = telemetry::Protocol::kUnspecified;
  std::uint8_t qos = 1;
  std::string_view topic;                             ///< MQTT topic, or path over HTTP and CoAP
  std::string_view content_type;                      ///< what the message says of its payload; empty: nothing
  std::optional<telemetry::PayloadFormat> said = {};  ///< the same where content_type, for the hash, leaves it out
  std::string_view payload;
  std::string_view metric_prefix;                       ///< put before each metric name
  std::string_view metric = {};                         ///< as telemetry::DecodeOptions::metric
  std::optional<telemetry::PayloadFormat> format = {};  ///< what the topic or path says, where content_type is empty
  std::string_view traceparent;                         ///< valid or empty
  telemetry::DeliveryFacts facts;                       ///< all but payload_hash, which is computed here

  /// Of a message that its adapter keeps over restarts and may submit again: its name in the log, and when it was
  /// taken. The adapter sees to it that names are unique and near to each other (delivery.md, rule 0). None: the
  /// publisher's.
  struct Kept {
    telemetry::IngestId ingest_id;
    TimeUs taken = 0;
  };
  std::optional<Kept> kept = std::nullopt;

  /// The answer waits until the database has the points (ack level `stored`).
  bool until_stored = false;
};

/// What became of a message that was taken.
struct Outcome {
  enum class Kind {
    kAcknowledged,   ///< Kafka has it at `receipt`
    kInLog,          ///< the same at ack level `stored`: the answer still waits for the database
    kStored,         ///< the database has it, or what it is a copy of
    kNotStored,      ///< Kafka has it, the database refused at least one point for good; `error` says which and why
    kKeptAsRefused,  ///< undecodable; the bytes are kept in telemetry.dead at `receipt`, `payload_error` says why
    kRefused,        ///< surely not in the log; `error` says why
    kUnknown,        ///< nobody knows
  };
  Kind kind = Kind::kUnknown;
  telemetry::Receipt receipt;
  Error error;
  std::shared_ptr<const telemetry::PayloadError> payload_error;
};

/// The adapter's side of a message in flight. Both calls come on the io thread of io_index().
class AckSink {
 public:
  virtual ~AckSink() = default;
  [[nodiscard]] virtual std::size_t io_index() const = 0;
  /// Once for each token that was submitted; outcomes of one thread's batch come in a row. At ack level `stored` kInLog
  /// may come before that, and then nothing more once the waiter's deadline is over.
  virtual void settle(std::uint64_t token, const Outcome& outcome) = 0;
  /// After the last settle() of a batch: write what has gathered.
  virtual void flush() = 0;
};

/// Where an outcome goes. An empty sink: nobody waits (QoS 0).
struct Waiter {
  std::shared_ptr<AckSink> sink;
  std::uint64_t token = 0;
  /// At ack level `stored`: from then on it waits no more.
  std::chrono::steady_clock::time_point until = std::chrono::steady_clock::time_point::max();
};

}  // namespace millrace::gateway
