#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/kafka/consumer.hpp>
#include <millrace/observability/log.hpp>

#include "batch/handover.hpp"
#include "log/partition_state.hpp"
#include "store/store.hpp"
#include "writer_config.hpp"
#include "writer_metrics.hpp"

namespace millrace::writer {

/// Takes partitions: reads their offsets and the state of their copy rules from the database, checks that the log is
/// the one they belong to, and reads a stretch before the position again, for what the state and storage.latest lack.
/// Where there is no state of use the stretch is the configured one. Blocks; one thread.
class LogOpener {
 public:
  LogOpener(const Config& config, Store& store, RecordTaker& taker, const WriterMetrics& metrics)
      : config_(config), store_(store), taker_(taker), metrics_(metrics) {}

  struct Opened {
    std::map<std::int32_t, PartitionState> partitions;  ///< stopped ones included
    Opening opening;                                    ///< without its epoch
  };
  /// kUnavailable: Kafka or the database does not answer; nothing is known, try again. `is_void` ends it early.
  [[nodiscard]] Result<Opened> open(std::span<const std::int32_t> partitions, const std::function<bool()>& is_void);

  /// Reads the record before each position again (the broker's connection was lost; its log may have changed). Sets
  /// `stopped` where it is another one.
  [[nodiscard]] Status verify(std::map<std::int32_t, PartitionState>& partitions);

 private:
  struct Replay {
    std::int64_t next = 0;
    std::int64_t end = 0;
    std::int64_t series_from = 0;        ///< from here on the points' series are of interest
    std::optional<RecordMark> expected;  ///< of the record at end - 1
  };
  [[nodiscard]] Result<std::map<std::int32_t, OffsetRow>> offset_rows(
      std::span<const std::int32_t> partitions, std::string_view cluster_id,
      const std::map<std::int32_t, kafka::Watermarks>& logs);
  [[nodiscard]] Status load_copies(std::int32_t partition, const OffsetRow& row, const kafka::Watermarks& log,
                                   PartitionState& state);
  struct CopiesFrom {
    std::int64_t saved_offset = -1;  ///< of the state; -1: none
    std::int64_t most_records = 0;   ///< to read again without one
  };
  [[nodiscard]] Result<std::int64_t> begin_of(kafka::Consumer& consumer, std::int32_t partition, const OffsetRow& row,
                                              const kafka::Watermarks& log, const CopiesFrom& copies);
  [[nodiscard]] Status replay(std::map<std::int32_t, Replay> todo, Opened& opened,
                              const std::function<bool()>& is_void);
  void replay_record(const kafka::Record& record, Replay& part, Opened& opened);
  [[nodiscard]] kafka::ConsumerOptions consumer_options() const;

  const Config& config_;
  Store& store_;
  RecordTaker& taker_;
  const WriterMetrics& metrics_;
  observability::Logger log_{"opener"};
};

}  // namespace millrace::writer
