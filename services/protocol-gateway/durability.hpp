#pragma once

#include <mutex>
#include <string>
#include <thread>

#include <millrace/kafka/settings.hpp>
#include <millrace/observability/log.hpp>

namespace millrace::gateway {

/// Learns, once Kafka answers, what an acknowledgement survives (replication, in-sync replicas, flush policy of
/// `telemetry`), logs it and says it in /readyz.
class Durability {
 public:
  Durability(kafka::Settings settings, std::string topic);
  void start();
  void stop();
  /// One sentence; thread-safe.
  [[nodiscard]] std::string text() const;

 private:
  void learn(const std::stop_token& stop);

  kafka::Settings settings_;
  std::string topic_;
  observability::Logger log_{"durability"};
  mutable std::mutex mutex_;
  std::string text_ = "not known yet";
  std::jthread thread_;
};

}  // namespace millrace::gateway
