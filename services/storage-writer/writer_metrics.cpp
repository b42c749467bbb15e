#include "writer_metrics.hpp"

namespace millrace::writer {

WriterMetrics::WriterMetrics(observability::Metrics& metrics)
    : records(metrics.counter("millrace_storage_writer_records_total",
                              "Records of the log that are accounted for in the database.")),
      rows(metrics.counter("millrace_storage_writer_rows_total", "Rows inserted into storage.sample.")),
      replaced(metrics.counter("millrace_storage_writer_rows_replaced_total",
                               "Rows whose value a later message with the same device time replaced.")),
      copies(
          metrics.counter("millrace_storage_writer_copies_total", "Records that repeat a message already in the log.")),
      dead_points(metrics.counter("millrace_storage_writer_dead_points_total",
                                  "Points that could not be stored and went to the dead letters.")),
      batches(metrics.counter("millrace_storage_writer_batches_total", "Transactions committed.")),
      batch_rows(metrics.histogram("millrace_storage_writer_batch_rows", "Rows of a transaction.",
                                   {1, 10, 100, 1'000, 5'000, 10'000, 20'000, 50'000})),
      batch_seconds(metrics.histogram("millrace_storage_writer_batch_seconds",
                                      "From taking a batch to its commit, retries included.")),
      retries(metrics.counter("millrace_storage_writer_retries_total",
                              "Transactions tried again because the database was away or busy.")),
      unknown_commits(
          metrics.counter("millrace_storage_writer_unknown_commits_total", "Commits whose answer was lost.")),
      fenced(metrics.counter("millrace_storage_writer_fenced_total",
                             "Batches given up because another writer had moved the offset.")),
      latest_series(metrics.gauge("millrace_storage_writer_series", "Series whose greatest time is in memory.")),
      default_partition_rows(metrics.gauge("millrace_storage_writer_default_partition_rows",
                                           "Rows in the default partition, at most 1,000; should be 0.")),
      partitions(metrics.gauge("millrace_storage_writer_partitions", "Partitions of the log that this writer owns.")),
      stopped_partitions(
          metrics.gauge("millrace_storage_writer_stopped_partitions",
                        "Owned partitions that are stopped because their log contradicts the database.")),
      lag_records(metrics.gauge("millrace_storage_writer_lag_records",
                                "Records in the log that are not stored yet, over the owned partitions.")),
      lag_seconds(
          metrics.gauge("millrace_storage_writer_lag_seconds",
                        "Age of the newest stored record where records wait, the oldest over the owned partitions.")),
      opening_seconds(metrics.histogram("millrace_storage_writer_opening_seconds",
                                        "From an assignment to reading on: offsets, identity of the log, copies.")),
      connection_losses(
          metrics.counter("millrace_storage_writer_connection_losses_total", "Lost connections to a broker.")),
      copy_states_saved(metrics.counter("millrace_storage_writer_copy_states_saved_total",
                                        "States of the copy rules that were saved, of one partition each.")),
      copy_states_failed(metrics.counter(
          "millrace_storage_writer_copy_states_failed_total",
          "States of the copy rules that could not be saved; the next start reads more of the log instead.")),
      copy_states_unusable(metrics.counter(
          "millrace_storage_writer_copy_states_unusable_total",
          "Saved states of the copy rules that were of no use when their partition was taken: damaged, of another "
          "version, beyond the position, far behind it or no longer in the log.")),
      copy_state_bytes(metrics.gauge("millrace_storage_writer_copy_state_bytes",
                                     "Size of the state of the copy rules that was saved last.")),
      copy_state_pause_seconds(metrics.histogram(
          "millrace_storage_writer_copy_state_pause_seconds",
          "How long the reading thread did nothing else while it wrote down the copy rules' state of a partition.")),
      windows(metrics.counter("millrace_storage_writer_windows_total", "Rows inserted into storage.window_result.")),
      alerts(metrics.counter("millrace_storage_writer_alerts_total", "Rows inserted into storage.alert.")),
      derived_batches(metrics.counter("millrace_storage_writer_derived_batches_total",
                                      "Transactions of windows and alerts committed.")),
      derived_dead(metrics.counter("millrace_storage_writer_derived_dead_total",
                                   "Windows and alerts that could not be stored and went to the dead letters.")),
      derived_restarts(metrics.counter(
          "millrace_storage_writer_derived_restarts_total",
          "Partitions of windows or alerts that were read from their beginning because the log was cut or replaced.")),
      derived_lag_records(metrics.gauge("millrace_storage_writer_derived_lag_records",
                                        "Offsets of windows and alerts that are not stored yet, transaction markers "
                                        "included, over the owned partitions.")),
      days_compacted(
          metrics.counter("millrace_storage_writer_days_compacted_total", "Days that went from rows to segments.")),
      points_compacted(
          metrics.counter("millrace_storage_writer_points_compacted_total", "Points of the days compacted.")),
      series_repacked(metrics.counter("millrace_storage_writer_series_repacked_total",
                                      "Series-days packed again because rows of a closed day came late or changed.")),
      days_waiting(metrics.gauge("millrace_storage_writer_days_waiting",
                                 "Closed days that are not compacted yet, after the last pass.")),
      days_failed(metrics.gauge("millrace_storage_writer_days_failed",
                                "Days that the last pass could not compact; see storage.day.failure.")),
      swap_seconds(metrics.histogram("millrace_storage_writer_swap_seconds",
                                     "How long a day's partition was locked while segments took its place.")),
      points_expired(metrics.counter("millrace_storage_writer_points_expired_total",
                                     "Points removed because their days are over (retention).")),
      bytes_expired(metrics.counter("millrace_storage_writer_bytes_expired_total", "What these points took, about.")),
      days_rebuilt(metrics.counter("millrace_storage_writer_days_rebuilt_total",
                                   "Days whose segments were copied to give back the space of those removed.")),
      retention_waiting(metrics.gauge("millrace_storage_writer_retention_waiting_days",
                                      "Days of which something is to go, and somebody was at work on them.")),
      retention_failed(metrics.gauge("millrace_storage_writer_retention_failed_days",
                                     "Days of which the last pass could not remove what is over; see the log.")),
      log_records_removed(metrics.counter("millrace_storage_writer_log_records_removed_total",
                                          "Records of telemetry that were old, stored and processed.")),
      log_held_partitions(metrics.gauge("millrace_storage_writer_log_held_partitions",
                                        "Partitions of telemetry of which nothing is removed, whatever its age: "
                                        "stream-processing has no position, or a position does not fit the log.")) {}
}  // namespace millrace::writer
