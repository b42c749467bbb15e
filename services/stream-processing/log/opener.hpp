#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>

#include <millrace/base/result.hpp>
#include <millrace/kafka/consumer.hpp>
#include <millrace/observability/log.hpp>
#include <millrace/telemetry_log/log_generations.hpp>

#include "log/partition_run.hpp"
#include "rules/rule_feed.hpp"
#include "stream_config.hpp"

namespace millrace::stream {

using PartitionRuns = std::map<std::int32_t, std::unique_ptr<PartitionRun>>;

/// Takes partitions: their committed positions, whether the log is still the one that they belong to, their open
/// alerts. Blocks, up to the time-outs of Kafka; runs on the worker's thread.
class Opener {
 public:
  Opener(const Config& config, RuleFeed& rules, const telemetry_log::LogGenerations& generations)
      : config_(config), rules_(rules), generations_(generations) {}

  /// Stopped partitions included. kUnavailable: nothing is known, try again. `is_void` ends it early.
  [[nodiscard]] Result<PartitionRuns> open(kafka::Consumer& group, std::span<const kafka::TopicPartition> partitions,
                                           const std::function<bool()>& is_void);

 private:
  struct Opening {
    PartitionRun::Start start;
    kafka::Watermarks log;
    std::optional<std::string> contradiction;
  };
  [[nodiscard]] Result<Opening> begin_of(kafka::Consumer& reader, const std::string& cluster,
                                         const kafka::CommittedPosition& committed, std::size_t partitions);
  [[nodiscard]] Status read_from(kafka::Consumer& reader, const kafka::TopicPartition& where, std::size_t partitions,
                                 Opening& opening);
  [[nodiscard]] Status restore_alerts(kafka::Consumer& reader, PartitionRuns& runs,
                                      const std::function<bool()>& is_void);

  const Config& config_;
  RuleFeed& rules_;
  const telemetry_log::LogGenerations& generations_;
  observability::Logger log_{"opener"};
};

}  // namespace millrace::stream
