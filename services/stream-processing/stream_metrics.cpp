#include "stream_metrics.hpp"

namespace millrace::stream {
namespace {

constexpr const char* kAlerts = "millrace_stream_alert_events_total";
constexpr const char* kAlertsHelp = "Alert events that were committed.";

}  // namespace

StreamMetrics::StreamMetrics(observability::Metrics& metrics)
    : records(
          metrics.counter("millrace_stream_records_total", "Records of the log that were processed, copies included.")),
      readings(metrics.counter("millrace_stream_readings_total", "Readings that windows and rules looked at.")),
      copies(metrics.counter("millrace_stream_copies_total", "Records that repeat a message already in the log.")),
      late(metrics.counter("millrace_stream_late_readings_total",
                           "Readings for a closed window: not counted, sent to telemetry.late.")),
      future(metrics.counter("millrace_stream_future_readings_total",
                             "Readings with a time more than five minutes ahead: counted at their ingest time.")),
      unruled(metrics.counter("millrace_stream_unruled_readings_total",
                              "Readings that no rule looked at: their message had asked for too much.")),
      undecodable(metrics.counter("millrace_stream_undecodable_records_total",
                                  "Records that are no batch; storage-writer makes them dead letters.")),
      replayed(metrics.counter("millrace_stream_replayed_records_total",
                               "Records read again after a start, with outputs suppressed.")),
      windows(metrics.counter("millrace_stream_windows_total", "Window results that were committed.")),
      alerts_raised(metrics.counter(kAlerts, kAlertsHelp, {{"event", "raised"}})),
      alerts_cleared(metrics.counter(kAlerts, kAlertsHelp, {{"event", "cleared"}})),
      transactions(metrics.counter("millrace_stream_transactions_total", "Kafka transactions committed.")),
      restarts(metrics.counter(
          "millrace_stream_worker_restarts_total",
          "Times a worker made its consumer and producer anew after a failure, or was replaced because it hung.")),
      commit_seconds(metrics.histogram("millrace_stream_commit_seconds", "One commit of a Kafka transaction.")),
      alert_seconds(metrics.histogram("millrace_stream_alert_seconds",
                                      "From the gateway's taking a reading to the commit of the alert it raised.")),
      recovery_seconds(metrics.histogram("millrace_stream_recovery_seconds",
                                         "From an assignment to the first new record of a partition.")),
      partitions(metrics.gauge("millrace_stream_partitions", "Partitions of the log that this process works on.")),
      stopped_partitions(metrics.gauge("millrace_stream_stopped_partitions",
                                       "Owned partitions that are stopped because their log is another one.")),
      open_windows(metrics.gauge("millrace_stream_open_windows", "Windows that are not closed yet.")),
      open_alerts(metrics.gauge("millrace_stream_open_alerts", "Alerts that are raised and not cleared.")),
      devices(metrics.gauge("millrace_stream_devices", "Devices whose progress is in memory.")),
      rules(metrics.gauge("millrace_stream_rules", "Enabled rules.")),
      lag_records(metrics.gauge("millrace_stream_lag_records",
                                "Records in the log that are not processed yet, over the owned partitions.")),
      uncommitted_results(
          metrics.gauge("millrace_stream_uncommitted_results", "Windows and alert events in open transactions.")) {}

}  // namespace millrace::stream
