#pragma once

#include <chrono>
#include <string>
#include <vector>

#include <millrace/archive/store_settings.hpp>
#include <millrace/config/options.hpp>
#include <millrace/kafka/settings.hpp>
#include <millrace/observability/log.hpp>

namespace millrace::query_api {

[[nodiscard]] const config::OptionTable& option_table();

struct Config {
  Address grpc;
  std::string certificate_file;  ///< empty: plaintext
  std::string key_file;
  Address http;
  std::vector<std::string> cors_origins;
  std::size_t http_body_bytes = 0;
  Address ops;
  kafka::Settings kafka;
  std::string topic_prefix;
  std::string database_url;
  std::size_t database_connections = 0;
  std::size_t calls_waiting = 0;
  std::size_t tenant_calls_waiting = 0;
  std::chrono::milliseconds call_deadline{0};
  std::chrono::milliseconds call_deadline_limit{0};
  std::size_t log_readers = 0;
  std::size_t tails = 0;
  std::size_t exports = 0;
  std::size_t tail_queue_readings = 0;
  archive::StoreSettings archive;
  std::size_t archive_readers = 0;
  std::chrono::milliseconds stop_deadline{0};
  observability::Level log_level = observability::Level::kInfo;
};

[[nodiscard]] Config read_config(const config::Values& values);

}  // namespace millrace::query_api
