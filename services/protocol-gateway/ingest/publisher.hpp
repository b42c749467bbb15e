#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <millrace/base/result.hpp>

#include "ingest/message.hpp"

namespace millrace::gateway {

/// How far a partition was stored, as far as the gateway knew, when a record was produced: the record's offset cannot
/// be smaller.
struct StoredMark {
  std::int32_t generation = 0;
  std::int64_t next_offset = 0;
};

/// A record on its way into the log. The publisher owns it until its outcome is known, so that its bytes can be
/// produced again.
struct InFlight {
  std::shared_ptr<const Identity> identity;  ///< its key is the record's key
  std::string value;                         ///< encoded batch; the publisher sets the ingest counter, unless `named`
  Waiter waiter;
  telemetry::Protocol protocol = telemetry::Protocol::kUnspecified;
  TimeUs ingest_time = 0;
  std::chrono::steady_clock::time_point taken{};
  std::int32_t partition = -1;
  std::uint64_t counter = 0;
  bool named = false;  ///< the counter is given, and is not the publisher's own
  bool settled = false;
  bool until_stored = false;  ///< the answer waits for the database
  StoredMark mark;            ///< where it does; the publisher sets it
};

/// Port to the log of telemetry.
class RecordPublisher {
 public:
  virtual ~RecordPublisher() = default;

  /// Random bits of this start, part of every ingest id.
  [[nodiscard]] virtual const telemetry::StartId& start_id() const = 0;

  /// False while nothing new should be taken: no connection yet, records without a report for too long, or the
  /// in-flight limit reached. What was taken before may still be submitted. Thread-safe, cheap.
  [[nodiscard]] virtual bool accepting() const = 0;

  /// Memory that is left for records in flight, bytes: who has much of it already takes less of what is left.
  /// Thread-safe, cheap.
  [[nodiscard]] virtual std::size_t room() const = 0;

  /// True while more than half of that memory is taken: whoever's share is not counted (QoS 0) waits. Thread-safe,
  /// cheap.
  [[nodiscard]] virtual bool crowded() const = 0;

  /// Takes the record; its outcome reaches the waiter later. An Error: nothing was produced, and nothing will come.
  /// Thread-safe, never blocks for I/O.
  [[nodiscard]] virtual Status submit(std::unique_ptr<InFlight> record) = 0;

  /// Puts records into `spare` that were used before: empty, with the memory of their value. None is as good. Making
  /// each anew would give every record's memory from the thread that took it to that of the reports, which malloc pays
  /// for by locks. Thread-safe.
  virtual void take_spare(std::vector<std::unique_ptr<InFlight>>& spare) { static_cast<void>(spare); }
};

/// Port to the evidence of refused payloads.
class RefusedPayloads {
 public:
  struct Refused {
    std::shared_ptr<const Identity> identity;
    telemetry::Protocol protocol = telemetry::Protocol::kUnspecified;
    std::string payload;
    std::string topic;
    std::shared_ptr<const telemetry::PayloadError> error;
    Waiter waiter;
  };
  virtual ~RefusedPayloads() = default;
  /// Keeps the payload; the waiter learns kKeptAsRefused when it is kept. kUnavailable: the queue is full, nothing was
  /// kept.
  [[nodiscard]] virtual Status keep(Refused refused) = 0;
};

}  // namespace millrace::gateway
