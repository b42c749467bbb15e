#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include <millrace/config/options.hpp>
#include <millrace/kafka/settings.hpp>
#include <millrace/observability/log.hpp>
#include <millrace/tls/handshake_gate.hpp>

#include "bridge/bridge.hpp"
#include "coap/coap_server.hpp"

namespace millrace::gateway {

[[nodiscard]] const config::OptionTable& option_table();

struct Config {
  std::optional<Address> mqtt;       ///< none: off, as all of these
  std::optional<Address> mqtt_open;  ///< none: off
  bool mqtt_open_anywhere = false;
  std::optional<Address> mqtts;     ///< MQTT over TLS; none: off
  std::optional<Address> mqtt_ws;   ///< MQTT over WebSocket; none: off
  std::optional<Address> mqtt_wss;  ///< MQTT over secure WebSocket; none: off
  std::string certificate_files;    ///< PEM, commas between
  std::string key_files;
  std::string balancers;  ///< addresses and networks whose connections begin with a PROXY header
  std::chrono::milliseconds handshake_deadline{0};
  std::size_t handshakes_per_s = 0;  ///< of each io thread; 0: no limit
  tls::HandshakeGate::Options handshakes;
  std::size_t max_strangers_per_address = 0;
  std::size_t connects_per_s = 0;  ///< 0: no limit
  std::optional<Address> http;     ///< none: off
  std::optional<Address> https;    ///< none: off
  CoapOptions coap;
  Address ops;
  kafka::Settings kafka;
  std::string topic_prefix;
  std::string state_dir;
  std::string gateway_name;         ///< empty: the one in state_dir
  std::size_t io_threads = 0;       ///< 0: one a core
  std::optional<Address> registry;  ///< where devices are made; none: nowhere
  std::string registry_ca_file;     ///< empty: plaintext
  std::string registry_key_file;
  std::size_t password_threads = 0;  ///< 0: one for two cores
  double linger_ms = 0;
  std::size_t max_in_flight_bytes = 0;
  std::chrono::milliseconds stall_after{0};
  std::chrono::milliseconds answer_deadline{0};
  std::size_t max_waiting_bytes = std::size_t{16} * 1024 * 1024;  ///< HTTP requests whose credentials are being checked
  std::chrono::milliseconds limit_lease{1000};
  std::size_t max_metric_names = 0;
  std::size_t max_connections = 0;
  std::uint32_t max_packet_bytes = 0;
  std::uint16_t receive_maximum = 0;
  std::uint32_t max_session_expiry_s = 0;
  std::size_t max_sessions = 0;
  std::size_t max_sessions_per_device = 0;
  std::size_t mqtt_memory_bytes = 0;
  BridgeOptions bridge;
  std::chrono::milliseconds connect_deadline{10'000};
  std::chrono::milliseconds drain_spread{0};
  std::string server_reference;
  std::chrono::milliseconds stop_deadline{0};
  observability::Level log_level = observability::Level::kInfo;
};

[[nodiscard]] Config read_config(const config::Values& values);

}  // namespace millrace::gateway
