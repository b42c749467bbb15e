#pragma once

#include <chrono>
#include <string>

#include <millrace/config/options.hpp>
#include <millrace/kafka/settings.hpp>
#include <millrace/kafka/topics.hpp>
#include <millrace/observability/log.hpp>

#include "delivery/dispatcher.hpp"
#include "send/http_sender.hpp"

namespace millrace::notifier {

[[nodiscard]] const config::OptionTable& option_table();

struct Config {
  Address ops;
  kafka::Settings kafka;
  kafka::TopicNames topics;
  std::string group;
  std::string instance;  ///< empty: a dynamic member
  std::chrono::milliseconds session_timeout{6'000};
  HttpSenderOptions sender;
  DispatcherOptions dispatcher;
  std::chrono::milliseconds progress_interval{500};
  std::chrono::milliseconds stop_deadline{30'000};
  observability::Level log_level = observability::Level::kInfo;
};

[[nodiscard]] Config read_config(const config::Values& values);

}  // namespace millrace::notifier
