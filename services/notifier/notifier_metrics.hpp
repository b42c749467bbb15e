#pragma once

#include <millrace/observability/metrics.hpp>

namespace millrace::notifier {

/// All metrics of the notifier's own. Handles only: thread-safe, cheap.
struct NotifierMetrics {
  explicit NotifierMetrics(observability::Metrics& metrics);

  observability::Counter delivered;
  observability::Counter refused;
  observability::Counter expired;
  observability::Counter no_webhook;
  observability::Counter invalid;
  observability::Counter attempts_delivered;
  observability::Counter attempts_refused;
  observability::Counter attempts_failed;
  observability::Counter attempts_no_answer;
  observability::Counter attempts_address_refused;
  observability::Histogram attempt_seconds;
  observability::Histogram delivery_seconds;
  observability::Counter left;
  observability::Counter backlog_records;
  observability::Counter progress_written;
  observability::Counter progress_failed;
  observability::Gauge events;
  observability::Gauge in_flight;
  observability::Gauge tenants_down;
  observability::Gauge tenants_behind;
  observability::Gauge partitions;
  observability::Gauge webhooks;
};

}  // namespace millrace::notifier
