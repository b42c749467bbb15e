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
#include <millrace/kafka/consumer.hpp>
#include <millrace/kafka/settings.hpp>

namespace millrace::kafka {

struct TransactionOptions {
  /// Stable over restarts and unique among the running members of the group (KIP-98): the successor's init() ends what
  /// this one left open.
  std::string transactional_id;
  /// The broker ends a transaction that is open for longer; until then its readers with read_committed wait.
  std::chrono::milliseconds timeout{10'000};
  double linger_ms = 5;
};

/// Kafka transactions of one thread: records to several topics and the consumer's positions, all or nothing (KIP-98,
/// KIP-447). Every call from the same thread at a time; each blocks up to its timeout.
///
/// After any error of begin(), produce(), send_positions() or commit() the transaction did not count, or nobody knows:
/// destroy this producer and the consumer, make both anew and read the committed positions again. A new producer's
/// init() brings a transaction of unknown outcome to its end before positions are read.
class TransactionalProducer {
 public:
  /// Throws std::invalid_argument on a bad property. Connects in the background.
  TransactionalProducer(const Settings& settings, const TransactionOptions& options);
  /// Gives an open transaction up; does not wait for brokers that hang.
  ~TransactionalProducer();
  TransactionalProducer(const TransactionalProducer&) = delete;
  TransactionalProducer& operator=(const TransactionalProducer&) = delete;

  /// Registers the transactional id: fences an older holder and ends its open transaction. kUnavailable: not in time.
  [[nodiscard]] Status init(std::chrono::milliseconds timeout);

  [[nodiscard]] Status begin();

  /// Copies its arguments into the open transaction; does not wait for the broker. kTooLarge, or kUnavailable where
  /// librdkafka's queue stays full for more than ten seconds.
  [[nodiscard]] Status produce(const std::string& topic, std::int32_t partition, std::string_view key,
                               std::string_view value, std::span<const Header> headers = {});

  /// Makes the consumer group's positions part of the transaction. kConflict: the group has gone on without this
  /// member.
  [[nodiscard]] Status send_positions(std::span<const CommittedPosition> positions, const GroupMetadata& group,
                                      std::chrono::milliseconds timeout);

  /// Sends what is left, waits for it and commits. Any error: see above.
  [[nodiscard]] Status commit(std::chrono::milliseconds timeout);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::kafka
