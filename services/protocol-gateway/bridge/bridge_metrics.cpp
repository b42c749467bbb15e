#include "bridge/bridge_metrics.hpp"

namespace millrace::gateway {
namespace {

std::vector<observability::Counter> message_counters(observability::Metrics& metrics, const std::string& broker) {
  std::vector<observability::Counter> all;
  for (const char* outcome : {"journaled", "no_target", "retained", "too_large"}) {
    all.push_back(metrics.counter("millrace_gateway_bridge_messages_total",
                                  "Messages that a broker delivered to the bridge, by what became of them.",
                                  {{"broker", broker}, {"outcome", outcome}}));
  }
  return all;
}

observability::Counter connects(observability::Metrics& metrics, const std::string& broker, const char* outcome) {
  return metrics.counter("millrace_gateway_bridge_connects_total", "Tries of the bridge to connect, by outcome.",
                         {{"broker", broker}, {"outcome", outcome}});
}

}  // namespace

BridgeBrokerMetrics::BridgeBrokerMetrics(observability::Metrics& metrics, const std::string& broker)
    : messages(message_counters(metrics, broker)),
      repeated(metrics.counter("millrace_gateway_bridge_repeated_total",
                               "Messages that a broker delivered again (DUP), as it does after a lost connection.",
                               {{"broker", broker}})),
      connected(metrics.gauge("millrace_gateway_bridge_connected", "1 while the bridge is connected and subscribed.",
                              {{"broker", broker}})),
      breaker(metrics.gauge("millrace_gateway_bridge_breaker",
                            "Circuit breaker of a broker: 0 closed, 1 half open, 2 open.", {{"broker", broker}})),
      connects(gateway::connects(metrics, broker, "accepted")),
      connects_failed(gateway::connects(metrics, broker, "failed")) {}

BridgeMetrics::BridgeMetrics(observability::Metrics& metrics)
    : journal_bytes(metrics.gauge("millrace_gateway_bridge_journal_bytes", "Size of the bridge's journal.")),
      journal_full(metrics.gauge("millrace_gateway_bridge_journal_full",
                                 "1 while the journal takes nothing and the brokers get no acknowledgement.")),
      handed_on(metrics.gauge("millrace_gateway_bridge_handed_on_messages",
                              "Journaled messages on their way to Kafka, without an outcome.")),
      replayed(metrics.counter("millrace_gateway_bridge_replayed_total",
                               "Messages found in the journal at the start and handed on again.")),
      append_failures(metrics.counter("millrace_gateway_bridge_append_failures_total",
                                      "Writes to the journal that the disk refused.")),
      command_events(metrics.counter("millrace_gateway_bridge_command_events_total",
                                     "Commands seen on brokers and written to command-events.")) {}

}  // namespace millrace::gateway
