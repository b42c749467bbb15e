#pragma once

#include <millrace/observability/metrics.hpp>

namespace millrace::archiver {

/// All metrics of the archiver's own. Handles only: thread-safe, cheap.
struct ArchiverMetrics {
  explicit ArchiverMetrics(observability::Metrics& metrics);

  observability::Counter days;
  observability::Counter rows;
  observability::Counter bytes;
  observability::Counter dropped;
  observability::Counter deleted;
  observability::Counter failures;
  observability::Gauge waiting_days;
  observability::Gauge undropped_tables;
  observability::Gauge leads;
  observability::Gauge last_pass;
  observability::Histogram day_seconds;
};

}  // namespace millrace::archiver
