#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/kafka/consumer.hpp>

namespace millrace::query_api {

using SteadyTime = std::chrono::steady_clock::time_point;

/// One record by its coordinates, or where the log stands instead.
struct Fetched {
  kafka::Watermarks log;
  std::optional<kafka::Record> record;  ///< empty: outside [low, high), or a hole
};

/// Kafka clients without a group for single look-ups, each used by one call at a time. Thread-safe; the pool bounds how
/// many calls read the log at once. Clients are made when first needed.
class LogReaders {
 public:
  LogReaders(kafka::Settings settings, std::size_t readers);
  ~LogReaders();

  /// Blocks at most until the deadline. kThrottled: all readers are busy; kUnavailable: Kafka does not answer;
  /// kNotFound: no such partition. `also` gets the records that came along right behind the wanted one.
  [[nodiscard]] Result<Fetched> fetch(const kafka::TopicPartition& where, std::int64_t offset, SteadyTime deadline,
                                      const std::function<void(const kafka::Record&)>& also = {});

  /// Lends a consumer for a longer read.
  [[nodiscard]] Result<std::shared_ptr<kafka::Consumer>> lend(SteadyTime deadline);

 private:
  void give_back(std::unique_ptr<kafka::Consumer> consumer);

  kafka::Settings settings_;
  std::mutex mutex_;
  std::condition_variable free_;
  std::vector<std::unique_ptr<kafka::Consumer>> idle_;
  std::size_t left_;  // clients that may still be made
};

/// Time left until the deadline, at least one millisecond, at most `most`.
[[nodiscard]] std::chrono::milliseconds time_left(SteadyTime deadline,
                                                  std::chrono::milliseconds most = std::chrono::hours{1});

}  // namespace millrace::query_api
