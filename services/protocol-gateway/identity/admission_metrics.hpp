#pragma once

#include <cstddef>
#include <vector>

#include <millrace/observability/metrics.hpp>

namespace millrace::gateway {

/// How devices were let in. Handles only: thread-safe, cheap.
struct AdmissionMetrics {
  /// What was shown. Of secrets that are refused nobody knows whether they were meant as tokens or passwords: password
  /// if the device has one.
  enum class Shows { kToken, kPassword, kCertificate };
  enum class Outcome {
    kAccepted,
    kRefused,
    kThrottled,  ///< too many wrong passwords before
    kBusy,       ///< nothing could be said; it may be tried again
  };

  explicit AdmissionMetrics(observability::Metrics& metrics);

  void count(Shows shows, Outcome outcome) const {
    admissions[static_cast<std::size_t>(shows) * 4 + static_cast<std::size_t>(outcome)].add();
  }

  std::vector<observability::Counter> admissions;
  observability::Gauge password_queue;
  observability::Histogram password_seconds;
};

}  // namespace millrace::gateway
