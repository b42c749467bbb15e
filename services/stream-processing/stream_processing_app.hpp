#pragma once

#include <memory>
#include <vector>

#include <millrace/observability/log.hpp>
#include <millrace/observability/metrics.hpp>
#include <millrace/runtime/health.hpp>
#include <millrace/runtime/lifecycle.hpp>
#include <millrace/runtime/ops_server.hpp>
#include <millrace/telemetry_log/log_generations.hpp>

#include "log/workers.hpp"
#include "rules/rule_feed.hpp"
#include "stream_config.hpp"
#include "stream_metrics.hpp"

namespace millrace::stream {

/// The composition root: the only place that knows all parts. Members stand in the order they depend on each other.
class StreamProcessingApp final : public runtime::App {
 public:
  explicit StreamProcessingApp(Config config);
  ~StreamProcessingApp() override;

  [[nodiscard]] Status start() override;
  [[nodiscard]] std::vector<runtime::Phase> stop_phases() override;

 private:
  void add_checks();
  void collect();
  [[nodiscard]] std::shared_ptr<Worker> make_worker(int number);
  [[nodiscard]] Status wait_for_commit(runtime::Deadline deadline);

  observability::Logger log_{"app"};
  Config config_;
  observability::Metrics metrics_;
  StreamMetrics stream_metrics_{metrics_};
  runtime::Health health_;
  RuleFeed rules_;
  telemetry_log::LogGenerations generations_;
  Workers workers_;
  std::unique_ptr<runtime::OpsServer> ops_;
};

}  // namespace millrace::stream
