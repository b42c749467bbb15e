#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>
#include <millrace/kafka/settings.hpp>

namespace millrace::kafka {

enum class Delivery {
  kPersisted,     ///< every in-sync replica has it, at `offset`
  kNotPersisted,  ///< surely not in the log
  kPossibly,      ///< nobody knows
};

struct DeliveryReport {
  void* opaque = nullptr;  ///< as given to produce()
  std::int32_t partition = -1;
  std::int64_t offset = -1;
  TimeUs broker_time_us = 0;  ///< LogAppendTime in microseconds (milliseconds are what the broker gives); 0: none
  Delivery delivery = Delivery::kPossibly;
  /// Not persisted, and the same record will never be taken (too large, invalid): kTooLarge or kInvalid; else
  /// kUnavailable. Meaningless for kPersisted.
  ErrorKind reason = ErrorKind::kUnavailable;
};

struct ProducerOptions {
  std::string topic;
  double linger_ms = 0.5;
  std::size_t batch_bytes = 1'000'000;
  std::size_t max_record_bytes = 1'000'000;  ///< message.max.bytes: a larger record is turned down by produce()
};

/// One topic's idempotent acks=all producer. It has no message time-out: a record is in flight until the broker answers
/// or the producer is destroyed, so the owner bounds what it hands over (librdkafka's own queue limits are set out of
/// the way). It never retries a report's outcome by itself; order within a partition is the order of produce() calls.
///
/// Fatal errors (librdkafka 2.0.2: sequence desynchronisation) end the instance: produce() is refused from then on,
/// open records get no dependable report. The owner destroys this producer, makes another and produces again what was
/// open.
class Producer {
 public:
  /// Reports in arrays as they come, on the producer's own thread. Must not block and must not destroy the producer.
  using OnReports = std::function<void(std::span<const DeliveryReport>)>;
  /// Once, on the producer's own thread. From then on only kPersisted reports come. Must not destroy the producer.
  using OnFatal = std::function<void(std::string_view reason)>;

  /// Throws std::invalid_argument on a bad property. Connects in the background.
  Producer(const Settings& settings, const ProducerOptions& options, OnReports on_reports, OnFatal on_fatal);

  /// Waits for the producer's threads; does not flush. No callback runs after it. Record bytes handed over are free
  /// again.
  ~Producer();
  Producer(const Producer&) = delete;
  Producer& operator=(const Producer&) = delete;

  /// Fetches the topic's metadata so that the first record does not wait for it (librdkafka issue 5032: 0.5 s). Blocks
  /// up to `timeout`; returns the number of partitions. kUnavailable: no broker; kNotFound: no such topic.
  [[nodiscard]] Result<int> warm(std::chrono::milliseconds timeout);

  /// Hands a record over without copying `value`: its bytes must stay until the report or until the producer is
  /// destroyed. `key` is copied. Never blocks; thread-safe. kTooLarge: beyond max_record_bytes; kConflict: after a
  /// fatal error; kUnavailable: librdkafka takes no more.
  [[nodiscard]] Status produce(std::int32_t partition, std::string_view key, std::string_view value, void* opaque);

  /// Waits until everything handed over has its report, at most `timeout`, not at all after a fatal error. Returns how
  /// many have none.
  [[nodiscard]] std::size_t flush(std::chrono::milliseconds timeout);

  /// Records handed over without a report.
  [[nodiscard]] std::size_t outstanding() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::kafka
