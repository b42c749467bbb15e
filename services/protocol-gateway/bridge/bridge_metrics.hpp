#pragma once

#include <string>
#include <vector>

#include <millrace/observability/metrics.hpp>

namespace millrace::gateway {

/// What became of a message that a broker delivered.
enum class BridgeTaken { kJournaled, kNoTarget, kRetained, kTooLarge };
inline constexpr std::size_t kBridgeTaken = 4;

/// Metrics of one broker's client.
struct BridgeBrokerMetrics {
  BridgeBrokerMetrics(observability::Metrics& metrics, const std::string& broker);

  [[nodiscard]] const observability::Counter& taken(BridgeTaken what) const {
    return messages[static_cast<std::size_t>(what)];
  }

  std::vector<observability::Counter> messages;  // by BridgeTaken
  observability::Counter repeated;
  observability::Gauge connected;
  observability::Gauge breaker;
  observability::Counter connects;
  observability::Counter connects_failed;
};

/// Metrics of the journal and of what is handed on from it.
struct BridgeMetrics {
  explicit BridgeMetrics(observability::Metrics& metrics);

  observability::Gauge journal_bytes;
  observability::Gauge journal_full;
  observability::Gauge handed_on;
  observability::Counter replayed;
  observability::Counter append_failures;
  observability::Counter command_events;
};

}  // namespace millrace::gateway
