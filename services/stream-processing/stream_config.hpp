#pragma once

#include <chrono>
#include <string>

#include <millrace/base/address.hpp>
#include <millrace/config/options.hpp>
#include <millrace/kafka/settings.hpp>
#include <millrace/kafka/topics.hpp>
#include <millrace/observability/log.hpp>

#include "engine/partition_task.hpp"

namespace millrace::stream {

struct Config {
  Address ops;
  kafka::Settings kafka;
  kafka::TopicNames topics;
  std::string group;
  std::string instance;
  int workers = 1;
  std::chrono::milliseconds session_timeout{6'000};
  std::size_t prefetch_bytes = 0;
  PartitionTask::Settings engine;
  std::chrono::milliseconds commit_interval{100};
  std::size_t commit_records = 0;
  std::chrono::milliseconds transaction_timeout{10'000};
  std::chrono::seconds copy_window{600};
  std::int64_t copy_records = 0;  ///< over all partitions
  std::chrono::milliseconds stop_deadline{30'000};
  observability::Level log_level = observability::Level::kInfo;
};

[[nodiscard]] const config::OptionTable& option_table();
[[nodiscard]] Config read_config(const config::Values& values);

}  // namespace millrace::stream
