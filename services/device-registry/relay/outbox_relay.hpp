#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include <millrace/kafka/sync_producer.hpp>
#include <millrace/observability/log.hpp>
#include <millrace/observability/metrics.hpp>
#include <millrace/postgres/connection.hpp>
#include <millrace/registry_view/registry_view.hpp>
#include <millrace/runtime/health.hpp>

namespace millrace::registry {

struct RelayOptions {
  kafka::Settings kafka;
  std::string registry_topic;
  std::string rules_topic;
  postgres::ConnectOptions database;
};

/// Brings the outbox to its topics, in commit order, and deletes what Kafka has. Of several instances one does it: the
/// one that holds the advisory lock. Before the first device is made it moves the key sequence beyond every key that
/// the topic has named.
class OutboxRelay {
 public:
  OutboxRelay(RelayOptions options, const registry_view::RegistryView& view, observability::Metrics& metrics);
  ~OutboxRelay();  ///< stop()
  OutboxRelay(const OutboxRelay&) = delete;
  OutboxRelay& operator=(const OutboxRelay&) = delete;

  void start();
  void stop();
  /// Something was committed: look at once. Any thread.
  void wake();

  /// False until the key sequence is beyond the topic's greatest key: no device may be created before.
  [[nodiscard]] bool keys_safe() const { return keys_safe_.load(); }
  /// For /readyz.
  [[nodiscard]] runtime::CheckResult database_check() const;
  [[nodiscard]] std::string detail() const;

 private:
  void run(const std::stop_token& stop);
  [[nodiscard]] Status move_sequence();
  [[nodiscard]] Result<bool> lead();
  [[nodiscard]] Result<std::size_t> relay_some(kafka::SyncProducer& producer);
  void set_state(const std::string& text);

  RelayOptions options_;
  const registry_view::RegistryView& view_;
  observability::Gauge waiting_;
  observability::Counter relayed_;
  observability::Logger log_{"relay"};
  observability::LogLimiter limiter_;
  std::unique_ptr<postgres::Connection> connection_;
  bool leader_ = false;
  std::atomic<bool> keys_safe_{false};
  std::atomic<bool> database_ok_{false};

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  bool woken_ = false;
  std::string state_ = "starting";
  std::jthread thread_;
};

}  // namespace millrace::registry
