#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <vector>

#include <millrace/mqtt/server_connection.hpp>
#include <millrace/observability/log.hpp>
#include <millrace/registry_view/registry_view.hpp>

#include "gateway_metrics.hpp"
#include "identity/authenticator.hpp"
#include "ingest/ingest_worker.hpp"
#include "io/admission.hpp"
#include "io/io_threads.hpp"
#include "mqtt/connection_directory.hpp"
#include "mqtt/name_spaces.hpp"
#include "mqtt/will_ingest.hpp"
#include "presence/presence.hpp"
#include "presence/sessions.hpp"

namespace millrace::gateway {

/// Whom a listener lets in, and to what.
enum class MqttAccess {
  kDevices,  ///< known devices, each to its own topics
  kOpen,     ///< anybody, to all topics of the open name space; nothing goes to Kafka
};

struct MqttOptions {
  mqtt::ServerOptions session;
  std::size_t max_connections = 15'000;
  std::size_t max_in_flight_bytes = 4ULL * 1024 * 1024;  ///< of one connection without an answer, with their overhead
  std::size_t max_unsent_bytes = 256ULL * 1024;          ///< answers that a client does not read
  std::chrono::milliseconds write_timeout{30'000};
  std::chrono::milliseconds connect_deadline{10'000};  ///< for Kafka to confirm a connection before CONNACK
  std::string server_reference;  ///< where clients of a gateway that is stopped should go; empty: they know
  std::uint32_t max_session_expiry_s = 24 * 60 * 60;  ///< longest that a session outlives its connection
  double connects_per_s = 0;                          ///< connections taken, over all listeners; 0: no limit
};

/// What all MQTT connections share; outlives them.
struct MqttContext {
  MqttOptions options;
  IoThreads& threads;
  std::vector<std::unique_ptr<IngestWorker>>& workers;  // by io thread
  const registry_view::RegistryView& registry;
  Authenticator& authenticator;
  Presence& presence;
  Sessions& sessions;
  GatewayMetrics& metrics;
  NameSpaces& spaces;
  WillIngest& wills;
  ConnectionDirectory connections = {};
  Admission connects{options.connects_per_s};  // of the accepting thread
  std::atomic<std::size_t> open_connections{0};
  std::atomic<std::size_t> opening{0};  // accepted, but no MQTT connection yet
  std::vector<std::vector<std::weak_ptr<MqttConnection>>> held =
      {};  // by io thread: not read on until messages are taken again
  observability::Logger log{"mqtt"};
  observability::LogLimiter limiter = {};
};

}  // namespace millrace::gateway
