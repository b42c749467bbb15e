#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <millrace/kafka/settings.hpp>

namespace millrace::testing {

/// What stream-processing writes with: a producer whose records count from the commit on. Every call blocks until the
/// broker has answered and fails the test where it refuses.
class TransactionalProducer {
 public:
  TransactionalProducer(const kafka::Settings& settings, const std::string& transactional_id);
  ~TransactionalProducer();
  TransactionalProducer(const TransactionalProducer&) = delete;
  TransactionalProducer& operator=(const TransactionalProducer&) = delete;

  void begin();
  void put(const std::string& topic, int partition, std::string_view key, std::string_view value);
  /// A record without a value.
  void put_tombstone(const std::string& topic, int partition, std::string_view key);
  void commit();
  void abort();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::testing
