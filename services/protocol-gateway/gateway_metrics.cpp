#include "gateway_metrics.hpp"

#include <string>

#include "presence/presence_record.hpp"

namespace millrace::gateway {
namespace {

using observability::Counter;
using observability::Metrics;
using telemetry::Protocol;

constexpr std::array kProtocols{Protocol::kUnspecified, Protocol::kMqtt311, Protocol::kMqtt5, Protocol::kHttp,
                                Protocol::kCoap,        Protocol::kLorawan, Protocol::kBridge};

std::string_view label_of(IngestResult result) {
  switch (result) {
    case IngestResult::kAccepted:
      return "accepted";
    case IngestResult::kInvalid:
      return "invalid";
    case IngestResult::kUnauthorized:
      return "unauthorized";
    case IngestResult::kThrottled:
      return "throttled";
    case IngestResult::kUndeliverable:
      return "undeliverable";
    case IngestResult::kUnknown:
      return "unknown";
    case IngestResult::kDropped:
      return "dropped";
  }
  return "unknown";
}

std::vector<std::vector<Counter>> message_counters(Metrics& metrics) {
  std::vector<std::vector<Counter>> all;
  for (const Protocol protocol : kProtocols) {
    all.emplace_back();
    for (std::size_t i = 0; i < kIngestResults; ++i) {
      all.back().push_back(metrics.counter("iot_messages_ingested_total",
                                           "Messages of devices by protocol and outcome.",
                                           {{"protocol", std::string(to_string(protocol))},
                                            {"outcome", std::string(label_of(static_cast<IngestResult>(i)))}}));
    }
  }
  return all;
}

std::vector<Counter> limit_counters(Metrics& metrics) {
  std::vector<Counter> all;
  for (const char* limit : {"messages", "bytes", "points", "connects", "connections"}) {
    for (const char* scope : {"device", "tenant"}) {
      for (const char* action : {"refused", "delayed", "dropped"}) {
        all.push_back(metrics.counter("millrace_gateway_over_limit_total",
                                      "Messages and connections over a limit, by limit, by whose it is and by what "
                                      "became of them.",
                                      {{"limit", limit}, {"scope", scope}, {"action", action}}));
      }
    }
  }
  return all;
}

std::vector<Counter> qos_counters(Metrics& metrics) {
  std::vector<Counter> all;
  for (const char* qos : {"0", "1", "2"}) {
    all.push_back(metrics.counter("iot_mqtt_qos_messages", "MQTT PUBLISH packets taken, by QoS.", {{"qos", qos}}));
  }
  return all;
}

std::vector<Counter> disconnect_counters(Metrics& metrics) {
  std::vector<Counter> all;
  for (std::size_t i = 0; i < kDisconnectCauses; ++i) {
    all.push_back(metrics.counter("millrace_gateway_disconnects_total", "Device connections that ended, by cause.",
                                  {{"cause", std::string(to_string(static_cast<DisconnectCause>(i)))}}));
  }
  return all;
}

std::vector<Counter> fault_counters(Metrics& metrics) {
  std::vector<Counter> all;
  for (std::size_t i = 0; i < telemetry::kPayloadFaults; ++i) {
    all.push_back(metrics.counter("millrace_gateway_payload_faults_total", "Payloads refused, by reason.",
                                  {{"reason", std::string(to_string(static_cast<telemetry::PayloadFault>(i)))}}));
  }
  return all;
}

std::vector<Counter> status_counters(Metrics& metrics) {
  std::vector<Counter> all;
  for (const char* status : {"none", "1xx", "2xx", "3xx", "4xx", "5xx"}) {
    all.push_back(metrics.counter("millrace_gateway_http_requests_total", "HTTP requests answered, by class of status.",
                                  {{"status", status}}));
  }
  return all;
}

std::vector<Counter> code_counters(Metrics& metrics) {
  std::vector<Counter> all;
  for (const char* code : {"0.xx", "1.xx", "2.xx", "3.xx", "4.xx", "5.xx"}) {
    all.push_back(metrics.counter("millrace_gateway_coap_requests_total",
                                  "CoAP requests answered, by class of code; retransmissions are not counted.",
                                  {{"code", code}}));
  }
  return all;
}

Counter handshakes(Metrics& metrics, const char* outcome) {
  return metrics.counter("millrace_gateway_coap_handshakes_total", "DTLS handshakes of CoAP, by outcome.",
                         {{"outcome", outcome}});
}

Counter stored_answers(Metrics& metrics, const char* outcome) {
  return metrics.counter("millrace_gateway_stored_answers_total",
                         "Answers of ack level `stored`, by what was known of the message: in the database, refused by "
                         "it, still on the way at the deadline, or not known because the log was cut.",
                         {{"outcome", outcome}});
}

Counter tls_handshakes(Metrics& metrics, const char* outcome) {
  return metrics.counter("millrace_gateway_tls_handshakes_total",
                         "TLS handshakes of MQTT and HTTP, by outcome; timeout counts slow PROXY headers too.",
                         {{"outcome", outcome}});
}

Counter closed(Metrics& metrics, const char* cause) {
  return metrics.counter("millrace_gateway_mqtt_closed_total", "MQTT connections ended, by cause.", {{"cause", cause}});
}

Counter sessions_ended(Metrics& metrics, const char* cause) {
  return metrics.counter("millrace_gateway_mqtt_sessions_ended_total",
                         "MQTT sessions that the gateway discarded: their queue overflowed, or their time was up.",
                         {{"cause", cause}});
}

Counter connects(Metrics& metrics, const char* outcome) {
  return metrics.counter("millrace_gateway_mqtt_connects_total", "CONNECT packets answered, by outcome.",
                         {{"outcome", outcome}});
}

}  // namespace

GatewayMetrics::GatewayMetrics(Metrics& metrics)
    : messages(message_counters(metrics)),
      over_limit(limit_counters(metrics)),
      processing_seconds(metrics.histogram("iot_message_processing_seconds",
                                           "From taking a message off the wire to Kafka's delivery report.")),
      mqtt_qos(qos_counters(metrics)),
      payload_faults(fault_counters(metrics)),
      in_flight_bytes(
          metrics.gauge("millrace_gateway_in_flight_bytes", "Records without a delivery report, with their overhead.")),
      stalled(
          metrics.gauge("millrace_gateway_stalled", "1 while delivery reports do not come and nothing new is taken.")),
      producer_restarts(
          metrics.counter("millrace_gateway_producer_restarts_total", "Producers replaced after a fatal error.")),
      refused_queue(
          metrics.gauge("millrace_gateway_refused_queue_messages", "Refused payloads on their way to telemetry.dead.")),
      stored_answers_waiting(metrics.gauge("millrace_gateway_stored_answers_waiting",
                                           "Messages in Kafka whose answer waits for the database.")),
      stored_answers_stored(stored_answers(metrics, "stored")),
      stored_answers_not_stored(stored_answers(metrics, "not_stored")),
      stored_answers_pending(stored_answers(metrics, "pending")),
      stored_answers_unknown(stored_answers(metrics, "unknown")),
      disconnects(disconnect_counters(metrics)),
      mqtt_connections(metrics.gauge("millrace_gateway_mqtt_connections", "Open MQTT connections.")),
      mqtt_connects_accepted(connects(metrics, "accepted")),
      mqtt_connects_refused(connects(metrics, "refused")),
      mqtt_closed_by_client(closed(metrics, "client")),
      mqtt_closed_protocol_error(closed(metrics, "protocol_error")),
      mqtt_closed_timeout(closed(metrics, "timeout")),
      mqtt_closed_by_server(closed(metrics, "server")),
      mqtt_repeated_in_flight(
          metrics.counter("millrace_gateway_mqtt_repeated_in_flight_total",
                          "PUBLISH packets that repeated a packet id in flight: the same message.")),
      mqtt_accept_pauses(metrics.counter("millrace_gateway_mqtt_accept_pauses_total",
                                         "Times that new connections were left in the kernel's backlog, to keep to "
                                         "the limits on handshakes and connections.")),
      tls_handshakes_full(tls_handshakes(metrics, "full")),
      tls_handshakes_resumed(tls_handshakes(metrics, "resumed")),
      tls_handshakes_failed(tls_handshakes(metrics, "failed")),
      tls_handshakes_timeout(tls_handshakes(metrics, "timeout")),
      tls_handshakes_under_way(metrics.gauge("millrace_gateway_tls_handshakes_under_way",
                                             "TLS handshakes of MQTT and HTTP that are under way.")),
      tls_handshakes_waiting(
          metrics.gauge("millrace_gateway_tls_handshakes_waiting",
                        "Connections that wait to begin their TLS handshake, to keep to the limits on those at once.")),
      proxy_headers_refused(metrics.counter("millrace_gateway_proxy_headers_refused_total",
                                            "Connections of a balancer that did not begin with a PROXY header.")),
      strangers_refused(metrics.counter("millrace_gateway_strangers_refused_total",
                                        "Connections of MQTT and HTTP that were closed at once: their address had "
                                        "UNIDENTIFIED_PER_ADDRESS_LIMIT without valid credentials.")),
      web_sockets_refused(metrics.counter("millrace_gateway_mqtt_web_sockets_refused_total",
                                          "Connections whose HTTP request did not become MQTT over WebSocket.")),
      mqtt_sessions(metrics.gauge("millrace_gateway_mqtt_sessions", "MQTT sessions, those without a connection too.")),
      mqtt_subscriptions(metrics.gauge("millrace_gateway_mqtt_subscriptions", "MQTT subscriptions of all sessions.")),
      mqtt_retained(metrics.gauge("millrace_gateway_mqtt_retained_messages", "Retained MQTT messages.")),
      mqtt_retained_bytes(
          metrics.gauge("millrace_gateway_mqtt_retained_bytes", "Retained MQTT messages, with their overhead.")),
      mqtt_memory_bytes(metrics.gauge("millrace_gateway_mqtt_memory_bytes",
                                      "What MQTT sessions, subscriptions, queued and retained messages occupy; "
                                      "MQTT_MEMORY_LIMIT_BYTES bounds it.")),
      mqtt_memory_refused(metrics.counter("millrace_gateway_mqtt_memory_refused_total",
                                          "MQTT sessions, subscriptions, messages and places in queues that the bound "
                                          "on memory had no room for.")),
      mqtt_deliveries(metrics.counter("millrace_gateway_mqtt_deliveries_total",
                                      "MQTT messages put into the queue of a subscriber, once for each.")),
      mqtt_dropped_qos0(metrics.counter("millrace_gateway_mqtt_dropped_qos0_total",
                                        "QoS 0 MQTT messages that a subscriber had no room or no connection for.")),
      mqtt_sessions_overflowed(sessions_ended(metrics, "overflowed")),
      mqtt_sessions_expired(sessions_ended(metrics, "expired")),
      http_connections(metrics.gauge("millrace_gateway_http_connections", "Open HTTP connections.")),
      http_requests(status_counters(metrics)),
      http_seconds(
          metrics.histogram("millrace_gateway_http_request_seconds", "From a complete request to its answer.")),
      http_malformed(
          metrics.counter("millrace_gateway_http_malformed_total", "Requests refused by the protocol itself.")),
      coap_requests(code_counters(metrics)),
      coap_seconds(
          metrics.histogram("millrace_gateway_coap_request_seconds", "From taking a CoAP request to its answer.")),
      coap_repeated(metrics.counter("millrace_gateway_coap_repeated_total",
                                    "CoAP requests that repeated a message id: answered as the first.")),
      coap_unacknowledged(metrics.counter("millrace_gateway_coap_unacknowledged_total",
                                          "CoAP answers that the device did not acknowledge.")),
      coap_sessions(metrics.gauge("millrace_gateway_coap_sessions", "Peers of CoAP that are remembered.")),
      coap_handshakes_accepted(handshakes(metrics, "accepted")),
      coap_handshakes_failed(handshakes(metrics, "failed")) {}

}  // namespace millrace::gateway
