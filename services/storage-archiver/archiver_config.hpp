#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include <millrace/archive/store_settings.hpp>
#include <millrace/config/options.hpp>
#include <millrace/observability/log.hpp>
#include <millrace/postgres/connection.hpp>

namespace millrace::archiver {

[[nodiscard]] const config::OptionTable& option_table();

struct Config {
  Address ops;
  postgres::ConnectOptions database;
  archive::StoreSettings store;
  std::int64_t after_days = 35;
  std::chrono::seconds interval{600};
  std::chrono::seconds merge_interval{86'400};
  std::chrono::seconds grace{1'209'600};
  std::chrono::seconds orphan_age{604'800};
  std::chrono::seconds step_timeout{7'200};
  std::string spool;
  std::chrono::milliseconds stop_deadline{30'000};
  observability::Level log_level = observability::Level::kInfo;
};

[[nodiscard]] Config read_config(const config::Values& values);

}  // namespace millrace::archiver
