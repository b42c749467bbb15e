#pragma once

#include <millrace/observability/metrics.hpp>

namespace millrace::writer {

/// All metrics of the writer's own. Handles only: thread-safe, cheap.
struct WriterMetrics {
  explicit WriterMetrics(observability::Metrics& metrics);

  observability::Counter records;
  observability::Counter rows;
  observability::Counter replaced;
  observability::Counter copies;
  observability::Counter dead_points;
  observability::Counter batches;
  observability::Histogram batch_rows;
  observability::Histogram batch_seconds;
  observability::Counter retries;
  observability::Counter unknown_commits;
  observability::Counter fenced;
  observability::Gauge latest_series;
  observability::Gauge default_partition_rows;
  observability::Gauge partitions;
  observability::Gauge stopped_partitions;
  observability::Gauge lag_records;
  observability::Gauge lag_seconds;
  observability::Histogram opening_seconds;
  observability::Counter connection_losses;
  observability::Counter copy_states_saved;
  observability::Counter copy_states_failed;
  observability::Counter copy_states_unusable;
  observability::Gauge copy_state_bytes;
  observability::Histogram copy_state_pause_seconds;
  observability::Counter windows;
  observability::Counter alerts;
  observability::Counter derived_batches;
  observability::Counter derived_dead;
  observability::Counter derived_restarts;
  observability::Gauge derived_lag_records;
  observability::Counter days_compacted;
  observability::Counter points_compacted;
  observability::Counter series_repacked;
  observability::Gauge days_waiting;
  observability::Gauge days_failed;
  observability::Histogram swap_seconds;
  observability::Counter points_expired;
  observability::Counter bytes_expired;
  observability::Counter days_rebuilt;
  observability::Gauge retention_waiting;
  observability::Gauge retention_failed;
  observability::Counter log_records_removed;
  observability::Gauge log_held_partitions;
};

}  // namespace millrace::writer
