#pragma once

#include <memory>
#include <vector>

#include <millrace/http/server.hpp>
#include <millrace/kafka/topics.hpp>
#include <millrace/registry_view/registry_view.hpp>
#include <millrace/runtime/health.hpp>
#include <millrace/runtime/lifecycle.hpp>
#include <millrace/runtime/ops_server.hpp>
#include <millrace/telemetry_log/log_generations.hpp>
#include <millrace/tls/certificate_watch.hpp>

#include "bridge/bridge.hpp"
#include "coap/coap_server.hpp"
#include "durability.hpp"
#include "gateway_config.hpp"
#include "gateway_metrics.hpp"
#include "http/telemetry_handler.hpp"
#include "identity/authenticator.hpp"
#include "identity/registry_provisioner.hpp"
#include "ingest/dead_letters.hpp"
#include "ingest/kafka_publisher.hpp"
#include "io/heap_trim.hpp"
#include "io/io_threads.hpp"
#include "limits/lease_keeper.hpp"
#include "limits/registry_limits.hpp"
#include "mqtt/mqtt_front.hpp"
#include "mqtt/name_spaces.hpp"
#include "mqtt/will_ingest.hpp"
#include "presence/presence.hpp"
#include "presence/sessions.hpp"
#include "presence/state_folder.hpp"

namespace millrace::gateway {

/// The composition root: the only place that knows all parts. Members stand in the order they depend on each other.
class ProtocolGatewayApp final : public runtime::App {
 public:
  explicit ProtocolGatewayApp(Config config);
  ~ProtocolGatewayApp() override;

  [[nodiscard]] Status start() override;
  void reload() override;
  [[nodiscard]] std::vector<runtime::Phase> stop_phases() override;

  /// With the ports that were really bound; after start().
  [[nodiscard]] const Address& mqtt_address() const { return listener_->address(); }
  [[nodiscard]] const Address& mqtt_open_address() const { return open_listener_->address(); }
  [[nodiscard]] const Address& mqtts_address() const { return front_->address(MqttTransport::kTls); }
  [[nodiscard]] const Address& mqtt_ws_address() const { return front_->address(MqttTransport::kWebSocket); }
  [[nodiscard]] const Address& mqtt_wss_address() const { return front_->address(MqttTransport::kSecureWebSocket); }
  [[nodiscard]] const Address& http_address() const { return http_->address(); }
  [[nodiscard]] const Address& https_address() const { return https_->address(); }
  [[nodiscard]] const std::optional<Address>& coap_address() const { return coap_->plain_address(); }
  [[nodiscard]] bool ready() const { return health_.report().ready; }
  /// Of records without a delivery report.
  [[nodiscard]] std::size_t in_flight_bytes() const { return publisher_.in_flight_bytes(); }
  [[nodiscard]] const std::optional<Address>& coaps_address() const { return coap_->secure_address(); }

 private:
  void add_checks();
  void wire();
  [[nodiscard]] Status check_open_address() const;
  [[nodiscard]] Status open_bridge();
  [[nodiscard]] Status read_certificates();
  [[nodiscard]] Status start_listeners();
  [[nodiscard]] Status start_http();

  Config config_;
  kafka::TopicNames topics_;
  observability::Metrics metrics_;
  GatewayMetrics gateway_metrics_;
  runtime::Health health_;
  std::unique_ptr<StateFolder> state_folder_;
  MetricNames metric_names_;
  registry_view::RegistryView registry_;
  RegistryCredentials registry_credentials_;
  AdmissionMetrics admission_metrics_;
  RegistryArrivals arrivals_;
  std::unique_ptr<RegistryProvisioner> provisioner_;  // null: off
  Authenticator authenticator_;
  RegistryLimits registry_limits_;
  Limiter limiter_;
  RegistryTypes types_;
  LeaseKeeper leases_;
  telemetry_log::LogGenerations generations_;
  // Connections die with the io_contexts and look at this while they do.
  std::unique_ptr<MqttContext> mqtt_context_;
  std::vector<std::unique_ptr<IngestWorker>> workers_;
  IoThreads threads_;
  StoredAnswers stored_answers_;
  KafkaPublisher publisher_;
  AckLedger ledger_;
  DeadLetters dead_letters_;
  Durability durability_;
  WillIngest wills_;
  NameSpaces name_spaces_;
  std::unique_ptr<Presence> presence_;
  std::unique_ptr<Sessions> sessions_;
  std::unique_ptr<MqttListener> listener_;       // plain TCP, started where it has an address
  std::unique_ptr<MqttListener> open_listener_;  // null: off
  std::unique_ptr<MqttFront> front_;             // TLS and WebSocket
  std::unique_ptr<TelemetryHandler> handler_;
  std::unique_ptr<http::Server> http_;   // null: off
  std::unique_ptr<http::Server> https_;  // null: off
  tls::Networks balancers_;
  std::shared_ptr<tls::HandshakeGate> handshakes_;
  std::shared_ptr<tls::Strangers> strangers_;
  std::shared_ptr<tls::ServerContext> mqtt_tls_;  // null without certificates, as the next
  std::shared_ptr<tls::ServerContext> http_tls_;
  std::unique_ptr<tls::CertificateWatch> certificates_;
  std::unique_ptr<CoapServer> coap_;
  std::unique_ptr<Bridge> bridge_;  // null: off
  std::unique_ptr<runtime::OpsServer> ops_;
  HeapTrim heap_trim_;
};

}  // namespace millrace::gateway
