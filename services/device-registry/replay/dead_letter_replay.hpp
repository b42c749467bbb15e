#pragma once

#include <chrono>
#include <cstdint>
#include <map>
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

#include "replay/replay_record.hpp"

namespace millrace::registry {

/// Puts the points of dead letters into the log again. storage-writer stores those of one dead letter at most once,
/// however often they are put there, so a call whose outcome is unknown may be made again. Thread-safe, one at a time.
///
/// Reads storage.dead_letter, storage.corrected_letter and storage.ingest_offset: the database role needs SELECT on
/// them.
class DeadLetterReplay {
 public:
  DeadLetterReplay(kafka::Settings kafka, kafka::TopicNames topics, postgres::Pool& database);

  /// A payload as the letter's device could send it.
  struct Correction {
    std::string content_type;  ///< empty: JSON
    std::string payload;
  };

  /// The receipt of the new record. With a correction its points take the place of the dead ones, or of a refused
  /// payload. Blocks until the deadline at most, but for the last step (10 s). kNotFound: the tenant has no such dead
  /// letter (any more); kInvalid: the correction would be refused of a device, too; kPrecondition: it is evidence of a
  /// refused payload and there is no correction, or no readable record of telemetry; kAlreadyExists: its points are
  /// stored; kUnavailable: Kafka or the database is away.
  [[nodiscard]] Result<telemetry::Receipt> replay(const std::string& tenant, const telemetry::Receipt& dead_letter,
                                                  const std::optional<Correction>& correction,
                                                  std::chrono::steady_clock::time_point deadline);

 private:
  using SteadyTime = std::chrono::steady_clock::time_point;
  /// A record's copy: the client that read it cannot end while the record itself is held.
  struct Letter {
    std::string key;
    std::string value;
    std::vector<kafka::Header> headers;
    TimeUs time = 0;  ///< when it was given up

    [[nodiscard]] std::optional<std::string> header(std::string_view name) const;
  };
  struct Source {
    telemetry::Receipt receipt;
    std::vector<std::int32_t> points;  ///< dead ones; empty: all
  };
  struct Prepared {
    ReplayMessage message;
    std::int32_t partition = kafka::kAnyPartition;
  };
  using Generations = std::map<std::int32_t, std::int32_t>;  ///< of the log now, by partition

  [[nodiscard]] Result<Letter> fetch(const telemetry::Receipt& dead_letter, SteadyTime deadline) const;
  [[nodiscard]] Result<Source> source_of(const Letter& letter, SteadyTime deadline);

  [[nodiscard]] Result<Prepared> prepare(const Letter& letter, const telemetry::Receipt& dead_letter,
                                         const std::optional<telemetry::Batch>& corrected, SteadyTime deadline);
  [[nodiscard]] Result<Prepared> prepare_refused(const Letter& letter, const telemetry::Receipt& dead_letter,
                                                 const std::optional<telemetry::Batch>& corrected, SteadyTime deadline);
  [[nodiscard]] Result<std::int32_t> device_key_of(std::string_view tenant, std::string_view device,
                                                   SteadyTime deadline);
  [[nodiscard]] Status check_uncorrected(const telemetry::Receipt& dead_letter, SteadyTime deadline);
  [[nodiscard]] Result<Generations> generations(SteadyTime deadline);
  [[nodiscard]] Result<telemetry::Receipt> send(const Letter& letter, const Prepared& prepared, SteadyTime deadline);

  kafka::Settings kafka_;
  kafka::TopicNames topics_;
  postgres::Pool& database_;
  std::timed_mutex mutex_;
  kafka::SyncProducer producer_;   // guarded by mutex_, as the following
  telemetry::IngestId ingest_id_;  // of the last record
};

}  // namespace millrace::registry
