#pragma once

#include <millrace/observability/metrics.hpp>

namespace millrace::stream {

/// All metrics of stream-processing's own. Handles only: thread-safe, cheap.
struct StreamMetrics {
  explicit StreamMetrics(observability::Metrics& metrics);

  observability::Counter records;
  observability::Counter readings;
  observability::Counter copies;
  observability::Counter late;
  observability::Counter future;
  observability::Counter unruled;
  observability::Counter undecodable;
  observability::Counter replayed;
  observability::Counter windows;
  observability::Counter alerts_raised;
  observability::Counter alerts_cleared;
  observability::Counter transactions;
  observability::Counter restarts;
  observability::Histogram commit_seconds;
  observability::Histogram alert_seconds;
  observability::Histogram recovery_seconds;
  observability::Gauge partitions;
  observability::Gauge stopped_partitions;
  observability::Gauge open_windows;
  observability::Gauge open_alerts;
  observability::Gauge devices;
  observability::Gauge rules;
  observability::Gauge lag_records;
  observability::Gauge uncommitted_results;
};

}  // namespace millrace::stream
