#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/kafka/consumer.hpp>
#include <millrace/kafka/settings.hpp>
#include <millrace/kafka/sync_producer.hpp>
#include <millrace/kafka/topics.hpp>
#include <millrace/postgres/pool.hpp>
#include <millrace/telemetry/batch.hpp>
#include <millrace/telemetry/receipt.hpp>

namespace millrace::registry {

/// Puts the points of dead letters into the log again. storage-writer stores those of one dead letter at most once,
/// however often they are put there, so a call whose outcome is unknown may be made again. Thread-safe, one at a time.
///
/// Reads storage.dead_letter and storage.ingest_offset: the database role needs SELECT on both.
class DeadLetterReplay {
 public:
  DeadLetterReplay(kafka::Settings kafka, kafka::TopicNames topics, postgres::Pool& database);

  /// The receipt of the new record. Blocks until the deadline at most, but for the last step (10 s). kNotFound: the
  /// tenant has no such dead letter (any more); kPrecondition: it is evidence of a refused payload, or no readable
  /// record of telemetry; kAlreadyExists: its points are stored; kUnavailable: Kafka or the database is away.
  [[nodiscard]] Result<telemetry::Receipt> replay(const std::string& tenant, const telemetry::Receipt& dead_letter,
                                                  std::chrono::steady_clock::time_point deadline);

 private:
  using SteadyTime = std::chrono::steady_clock::time_point;
  /// A record's copy: the client that read it cannot end while the record itself is held.
  struct Letter {
    std::string key;
    std::string value;
    std::vector<kafka::Header> headers;

    [[nodiscard]] std::optional<std::string> header(std::string_view name) const;
  };
  struct Source {
    telemetry::Receipt receipt;
    std::vector<std::int32_t> points;  ///< dead ones; empty: all
    std::int32_t generation = 0;       ///< of the partition's log now
  };

  [[nodiscard]] Result<Letter> fetch(const telemetry::Receipt& dead_letter, SteadyTime deadline) const;
  [[nodiscard]] Result<Source> source_of(const Letter& letter, SteadyTime deadline);

  [[nodiscard]] static Status check_kind(const Letter& letter);

  kafka::Settings kafka_;
  kafka::TopicNames topics_;
  postgres::Pool& database_;
  std::timed_mutex mutex_;
  kafka::SyncProducer producer_;   // guarded by mutex_, as the following
  telemetry::IngestId ingest_id_;  // of the last record
};

}  // namespace millrace::registry
