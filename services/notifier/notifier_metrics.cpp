#include "notifier_metrics.hpp"

namespace millrace::notifier {
namespace {

observability::Counter ended(observability::Metrics& metrics, const char* outcome) {
  return metrics.counter(
      "millrace_notifier_events_total",
      "Events of alerts that are over, by outcome: delivered, refused, expired, no_webhook, invalid.",
      {{"outcome", outcome}});
}

observability::Counter attempts(observability::Metrics& metrics, const char* outcome) {
  return metrics.counter("millrace_notifier_attempts_total",
                         "Requests by outcome: delivered, refused, failed, no_answer, address_refused.",
                         {{"outcome", outcome}});
}

// From a healthy receiver's milliseconds to a day of retries.
const std::vector<double>& delivery_buckets() {
  static const std::vector<double> kBuckets{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 300, 3'600, 86'400};
  return kBuckets;
}

}  // namespace

NotifierMetrics::NotifierMetrics(observability::Metrics& metrics)
    : delivered(ended(metrics, "delivered")),
      refused(ended(metrics, "refused")),
      expired(ended(metrics, "expired")),
      no_webhook(ended(metrics, "no_webhook")),
      invalid(ended(metrics, "invalid")),
      attempts_delivered(attempts(metrics, "delivered")),
      attempts_refused(attempts(metrics, "refused")),
      attempts_failed(attempts(metrics, "failed")),
      attempts_no_answer(attempts(metrics, "no_answer")),
      attempts_address_refused(attempts(metrics, "address_refused")),
      attempt_seconds(metrics.histogram("millrace_notifier_attempt_seconds", "From starting a request to its answer.")),
      delivery_seconds(metrics.histogram("millrace_notifier_delivery_seconds",
                                         "From the alert's record to the receiver's yes, retries included.",
                                         delivery_buckets())),
      left(metrics.counter("millrace_notifier_events_left_total",
                           "Events left in the log because their tenant's queue was full; they are read again.")),
      backlog_records(metrics.counter("millrace_notifier_backlog_records_total", "Records read again for backlogs.")),
      progress_written(metrics.counter("millrace_notifier_progress_written_total", "Positions of partitions written.")),
      progress_failed(metrics.counter("millrace_notifier_progress_failures_total",
                                      "Writes of positions that failed; they are repeated.")),
      events(metrics.gauge("millrace_notifier_queued_events", "Events in memory, those under way included.")),
      in_flight(metrics.gauge("millrace_notifier_in_flight", "Requests under way.")),
      tenants_down(metrics.gauge("millrace_notifier_receivers_down", "Tenants whose receiver does not answer.")),
      tenants_behind(metrics.gauge("millrace_notifier_tenants_behind", "Tenants with events left in the log.")),
      partitions(metrics.gauge("millrace_notifier_partitions", "Partitions of alerts that this notifier owns.")),
      webhooks(metrics.gauge("millrace_notifier_webhooks", "Webhooks that are known.")) {}

}  // namespace millrace::notifier
