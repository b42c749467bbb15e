#pragma once

#include <memory>
#include <vector>

#include <millrace/observability/metrics.hpp>
#include <millrace/runtime/health.hpp>
#include <millrace/runtime/lifecycle.hpp>
#include <millrace/runtime/ops_server.hpp>

#include "delivery/dispatcher.hpp"
#include "log/alert_reader.hpp"
#include "log/backlog_reader.hpp"
#include "log/progress_store.hpp"
#include "log/progress_writer.hpp"
#include "log/webhook_table.hpp"
#include "notifier_config.hpp"
#include "notifier_metrics.hpp"
#include "send/http_sender.hpp"

namespace millrace::notifier {

/// The composition root: the only place that knows all parts. Members stand in the order they depend on each other.
class NotifierApp final : public runtime::App {
 public:
  explicit NotifierApp(Config config);
  /// Ends everything; requests under way count as not sent.
  ~NotifierApp() override;

  [[nodiscard]] Status start() override;
  [[nodiscard]] std::vector<runtime::Phase> stop_phases() override;

 private:
  void add_checks();
  void refresh() const;
  [[nodiscard]] Status drain(runtime::Deadline deadline);
  void close();

  Config config_;
  observability::Metrics metrics_;
  NotifierMetrics notifier_metrics_{metrics_};
  runtime::Health health_;
  HttpSender sender_;
  Dispatcher dispatcher_;
  WebhookTable webhooks_;
  ProgressStore store_;
  ProgressWriter writer_;
  BacklogReader backlog_;
  AlertReader reader_;
  std::unique_ptr<runtime::OpsServer> ops_;
};

}  // namespace millrace::notifier
