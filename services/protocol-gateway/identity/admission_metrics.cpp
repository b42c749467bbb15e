#include "identity/admission_metrics.hpp"

namespace millrace::gateway {
namespace {

std::vector<observability::Counter> counters(observability::Metrics& metrics) {
  std::vector<observability::Counter> all;
  for (const char* shows : {"token", "password", "certificate"}) {
    for (const char* outcome : {"accepted", "refused", "throttled", "busy"}) {
      all.push_back(metrics.counter("millrace_gateway_admissions_total",
                                    "Connections and requests of devices by what they showed and what came of it.",
                                    {{"proof", shows}, {"outcome", outcome}}));
    }
  }
  return all;
}

}  // namespace

AdmissionMetrics::AdmissionMetrics(observability::Metrics& metrics)
    : admissions(counters(metrics)),
      password_queue(metrics.gauge("millrace_gateway_password_queue", "Passwords that wait to be checked.")),
      password_seconds(metrics.histogram("millrace_gateway_password_seconds",
                                         "From a password that is not remembered to its answer, waiting included.")) {}

}  // namespace millrace::gateway
