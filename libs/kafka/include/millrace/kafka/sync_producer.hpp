#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/kafka/settings.hpp>

namespace millrace::kafka {

inline constexpr std::int32_t kAnyPartition = -1;  ///< by the key: murmur2, as base's partition_of()

struct OutgoingRecord {
  std::string topic;
  std::int32_t partition = kAnyPartition;
  std::string key;
  std::optional<std::string> value;  ///< absent: a tombstone
  std::vector<Header> headers = {};
};

/// Where a record landed.
struct RecordCoordinate {
  std::int32_t partition = 0;
  std::int64_t offset = 0;
};

/// Produces a few records and waits for them: dead letters, outbox relay. Idempotent, acks=all. One thread at a time.
class SyncProducer {
 public:
  /// A record without an answer after `timeout` is given up (outcome unknown). Throws std::invalid_argument on a bad
  /// property.
  SyncProducer(const Settings& settings, std::chrono::milliseconds timeout);
  ~SyncProducer();
  SyncProducer(const SyncProducer&) = delete;
  SyncProducer& operator=(const SyncProducer&) = delete;

  /// Blocks until the broker has all of them, in the order given within each partition. Coordinates come in the order
  /// of `records`. On an error some may have been written and some not: kUnknownOutcome where any may have been,
  /// kUnavailable where surely none was, kTooLarge / kInvalid for a record that will never be taken. Sending all of
  /// them again is the caller's right (at least once). A fatal producer error is healed by the next call.
  [[nodiscard]] Result<std::vector<RecordCoordinate>> send(std::span<const OutgoingRecord> records);

  /// The same for one.
  [[nodiscard]] Result<RecordCoordinate> send_one(const OutgoingRecord& record);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::kafka
