#include "archiver_metrics.hpp"

namespace millrace::archiver {

ArchiverMetrics::ArchiverMetrics(observability::Metrics& metrics)
    : days(metrics.counter("millrace_storage_archiver_days_total",
                           "Files that were written and count: first ones of a day and further generations.")),
      rows(metrics.counter("millrace_storage_archiver_rows_total", "Rows in those files.")),
      bytes(metrics.counter("millrace_storage_archiver_bytes_total", "Size of those files.")),
      dropped(metrics.counter("millrace_storage_archiver_tables_dropped_total",
                              "Tables that were dropped after their file was verified once more.")),
      deleted(metrics.counter("millrace_storage_archiver_objects_deleted_total",
                              "Replaced files and orphans that were deleted from the store.")),
      failures(metrics.counter("millrace_storage_archiver_failures_total",
                               "Steps that failed and are tried again with the next look for work.")),
      waiting_days(metrics.gauge("millrace_storage_archiver_waiting_days",
                                 "Days that are due and not archived yet, at most 1,000, as of the last look.")),
      undropped_tables(metrics.gauge("millrace_storage_archiver_undropped_tables",
                                     "Tables whose file counts already and that still take space.")),
      leads(metrics.gauge("millrace_storage_archiver_leads",
                          "1: this process works; 0: another one of the database does.")),
      last_pass(metrics.gauge("millrace_storage_archiver_last_pass_timestamp_seconds",
                              "When a look for work last ended without a failure.")),
      day_seconds(metrics.histogram("millrace_storage_archiver_day_seconds",
                                    "From the first row of a day to the exchange of its partition.",
                                    {0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3'600})) {}

}  // namespace millrace::archiver
