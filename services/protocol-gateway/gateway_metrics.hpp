#pragma once

#include <array>
#include <string_view>
#include <vector>

#include <millrace/observability/metrics.hpp>
#include <millrace/telemetry/batch.hpp>
#include <millrace/telemetry/payload.hpp>

namespace millrace::gateway {

/// How a message ended, as a label.
enum class IngestResult { kAccepted, kInvalid, kUnauthorized, kThrottled, kUndeliverable, kUnknown, kDropped };
inline constexpr std::size_t kIngestResults = 7;

/// All metrics of the gateway's own; libraries add theirs. Handles only: thread-safe, cheap.
struct GatewayMetrics {
  explicit GatewayMetrics(observability::Metrics& metrics);

  [[nodiscard]] const observability::Counter& ingested(telemetry::Protocol protocol, IngestResult result) const {
    return messages[static_cast<std::size_t>(protocol)][static_cast<std::size_t>(result)];
  }
  [[nodiscard]] const observability::Counter& invalid(telemetry::PayloadFault fault) const {
    return payload_faults[static_cast<std::size_t>(fault)];
  }
  /// `full`, `resumed`, `timeout`; anything else is a failure.
  [[nodiscard]] const observability::Counter& tls_handshake(std::string_view outcome) const {
    if (outcome == "full") return tls_handshakes_full;
    if (outcome == "resumed") return tls_handshakes_resumed;
    return outcome == "timeout" ? tls_handshakes_timeout : tls_handshakes_failed;
  }

  /// By the numbers of LimitKind, LimitScope and Limiter::Action.
  [[nodiscard]] const observability::Counter& limited(std::size_t limit, std::size_t scope, std::size_t action) const {
    return over_limit[(limit * 2 + scope) * 3 + action];
  }

  std::vector<std::vector<observability::Counter>> messages;  // by protocol, result
  std::vector<observability::Counter> over_limit;
  observability::Histogram processing_seconds;
  std::vector<observability::Counter> mqtt_qos;  // by QoS
  std::vector<observability::Counter> payload_faults;

  observability::Gauge in_flight_bytes;
  observability::Gauge stalled;
  observability::Counter producer_restarts;
  observability::Gauge refused_queue;
  observability::Gauge stored_answers_waiting;
  observability::Counter stored_answers_stored;
  observability::Counter stored_answers_not_stored;
  observability::Counter stored_answers_pending;
  observability::Counter stored_answers_unknown;

  std::vector<observability::Counter> disconnects;  // by DisconnectCause
  observability::Gauge mqtt_connections;
  observability::Counter mqtt_connects_accepted;
  observability::Counter mqtt_connects_refused;
  observability::Counter mqtt_closed_by_client;
  observability::Counter mqtt_closed_protocol_error;
  observability::Counter mqtt_closed_timeout;
  observability::Counter mqtt_closed_by_server;
  observability::Counter mqtt_repeated_in_flight;
  observability::Counter mqtt_accept_pauses;
  observability::Counter tls_handshakes_full;
  observability::Counter tls_handshakes_resumed;
  observability::Counter tls_handshakes_failed;
  observability::Counter tls_handshakes_timeout;
  observability::Gauge tls_handshakes_under_way;
  observability::Gauge tls_handshakes_waiting;
  observability::Counter proxy_headers_refused;
  observability::Counter strangers_refused;
  observability::Counter web_sockets_refused;
  observability::Gauge mqtt_sessions;
  observability::Gauge mqtt_subscriptions;
  observability::Gauge mqtt_retained;
  observability::Gauge mqtt_retained_bytes;
  observability::Gauge mqtt_memory_bytes;
  observability::Counter mqtt_memory_refused;
  observability::Counter mqtt_deliveries;
  observability::Counter mqtt_dropped_qos0;
  observability::Counter mqtt_sessions_overflowed;
  observability::Counter mqtt_sessions_expired;

  observability::Gauge http_connections;
  std::vector<observability::Counter> http_requests;  // by hundreds of the status: 2xx at 2
  observability::Histogram http_seconds;
  observability::Counter http_malformed;

  std::vector<observability::Counter> coap_requests;  // by class of the code: 2.xx at 2
  observability::Histogram coap_seconds;
  observability::Counter coap_repeated;
  observability::Counter coap_unacknowledged;
  observability::Gauge coap_sessions;
  observability::Counter coap_handshakes_accepted;
  observability::Counter coap_handshakes_failed;
};

}  // namespace millrace::gateway
