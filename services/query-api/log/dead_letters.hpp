#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>
#include <millrace/kafka/topics.hpp>
#include <millrace/telemetry/receipt.hpp>

#include "log/reader_pool.hpp"

namespace millrace::query_api {

struct DeadLetter {
  telemetry::Receipt receipt;
  std::string source;
  std::string device;
  std::string reason;
  TimeUs time = 0;
  std::string payload;  ///< at most kMostPayload of it
  std::int64_t payload_bytes = 0;
  std::vector<std::int32_t> points;

  static constexpr std::size_t kMostPayload = 64 << 10;
};

struct DeadLetterPage {
  std::vector<DeadLetter> letters;
  /// Next offset of each partition; empty: the end was reached.
  std::vector<std::int64_t> next;
};

/// Reads the topic telemetry.dead, which is the record of what was given up. Blocking, thread-safe.
class DeadLetters {
 public:
  DeadLetters(LogReaders& log, std::string topic) : log_(log), topic_(std::move(topic)) {}

  /// The tenant's dead letters from `start` (empty: the oldest that is kept) in order of time, up to the end seen at
  /// the beginning. Looks at no more than kMostScanned records a page, so a page may be short and still not be the
  /// last.
  [[nodiscard]] Result<DeadLetterPage> list(const std::string& tenant, std::size_t page_size,
                                            std::vector<std::int64_t> start, SteadyTime deadline);

  /// Empty: there is none, or it is another tenant's.
  [[nodiscard]] Result<std::optional<DeadLetter>> find(const telemetry::Receipt& receipt, const std::string& tenant,
                                                       SteadyTime deadline);

  static constexpr std::size_t kMostScanned = 50'000;
  static constexpr std::size_t kPageBytes = 3 << 20;

 private:
  LogReaders& log_;
  std::string topic_;
};

/// The tenant's letter in a record; empty: another tenant's.
[[nodiscard]] std::optional<DeadLetter> letter_of(const kafka::Record& record, const std::string& tenant);

}  // namespace millrace::query_api
