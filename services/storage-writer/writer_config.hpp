#pragma once

#include <chrono>
#include <cstddef>
#include <string>

#include <millrace/config/options.hpp>
#include <millrace/kafka/settings.hpp>
#include <millrace/kafka/topics.hpp>
#include <millrace/observability/log.hpp>
#include <millrace/postgres/connection.hpp>

#include "tiers/day_keeper.hpp"

namespace millrace::writer {

[[nodiscard]] const config::OptionTable& option_table();

struct Config {
  Address ops;
  kafka::Settings kafka;
  kafka::TopicNames topics;
  std::string group;
  std::string instance;  ///< empty: a dynamic member
  std::chrono::milliseconds session_timeout{6'000};
  postgres::ConnectOptions database;
  std::size_t max_batch_rows = 50'000;
  std::size_t max_batch_bytes = 64 << 20;
  std::chrono::milliseconds batch_linger{8};
  std::chrono::milliseconds latest_interval{1'000};
  std::chrono::seconds copy_window{600};
  std::size_t copy_records = 2'000'000;
  std::chrono::milliseconds copy_state_interval{30'000};
  std::size_t max_series = 5'000'000;
  std::size_t max_partitions = 4'000;
  std::size_t max_refused_points = 1'000;
  std::size_t derived_batch_rows = 5'000;
  std::chrono::milliseconds derived_linger{50};
  std::chrono::milliseconds maintenance_interval{60'000};  ///< 0: this writer does none
  DayLimits days;
  std::chrono::hours log_keep{168};                      ///< records of `telemetry` that are younger stay
  std::chrono::milliseconds log_trim_interval{600'000};  ///< 0: this writer removes none
  std::string stream_group;                              ///< of stream-processing
  std::size_t prefetch_bytes = 64 << 20;
  std::chrono::milliseconds stop_deadline{30'000};
  observability::Level log_level = observability::Level::kInfo;
};

[[nodiscard]] Config read_config(const config::Values& values);

}  // namespace millrace::writer
