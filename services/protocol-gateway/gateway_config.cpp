#include "gateway_config.hpp"

#include <array>

#include <millrace/kafka/topics.hpp>
#include <millrace/runtime/healthcheck.hpp>

namespace millrace::gateway {
namespace {

using config::Option;
using config::Type;

constexpr std::array kOptions{
    Option{.key = "MQTT_ADDR",
           .type = Type::kAddress,
           .default_value = "127.0.0.1:1883",
           .help = "Where MQTT listens (IP address and port). Empty: off.",
           .may_be_empty = true},
    Option{.key = "MQTT_OPEN_ADDR",
           .type = Type::kAddress,
           .help = "Where a general MQTT broker listens that lets anybody use every topic, apart from devices and "
                   "Kafka: for tests and edge sites. Empty: off."},
    Option{.key = "MQTT_OPEN_ANYWHERE",
           .type = Type::kBoolean,
           .default_value = "false",
           .help = "Lets MQTT_OPEN_ADDR be another than a loopback address: whoever reaches it may read and write."},
    Option{.key = "MQTTS_ADDR",
           .type = Type::kAddress,
           .help = "Where MQTT over TLS listens, 8883 by custom. Empty: off."},
    Option{.key = "MQTT_WS_ADDR",
           .type = Type::kAddress,
           .help = "Where MQTT over WebSocket listens (path /mqtt); devices then send their tokens in the clear. "
                   "Empty: off."},
    Option{.key = "MQTT_WSS_ADDR",
           .type = Type::kAddress,
           .help = "Where MQTT over secure WebSocket listens (path /mqtt). Empty: off."},
    Option{.key = "HTTP_ADDR",
           .type = Type::kAddress,
           .default_value = "127.0.0.1:8080",
           .help = "Where HTTP listens. Empty: off.",
           .may_be_empty = true},
    Option{.key = "HTTPS_ADDR", .type = Type::kAddress, .help = "Where HTTP over TLS listens. Empty: off."},
    Option{.key = "TLS_CERTIFICATE_FILES",
           .help = "PEM file of the certificate with its intermediates; several with commas between are chosen by the "
                   "name that a client asks for. Read again when they change, and at SIGHUP."},
    Option{.key = "TLS_KEY_FILES", .help = "PEM file of the key of each certificate, in the same order."},
    Option{.key = "TLS_HANDSHAKES_PER_S",
           .type = Type::kInteger,
           .default_value = "1500",
           .help =
               "MQTT connections over TLS taken in a second by each I/O thread, so that a storm of handshakes leaves "
               "the others their core; more wait in the kernel's backlog. 0: no limit.",
           .least = 0,
           .most = 1'000'000},
    Option{.key = "TLS_HANDSHAKES_LIMIT",
           .type = Type::kInteger,
           .default_value = "4000",
           .help = "TLS handshakes under way at once over all listeners, about 50 KiB each; more wait for their turn, "
                   "until HANDSHAKE_DEADLINE_MS.",
           .least = 1,
           .most = 1'000'000},
    Option{.key = "TLS_HANDSHAKES_PER_ADDRESS_LIMIT",
           .type = Type::kInteger,
           .default_value = "500",
           .help = "How many of these may come from one address (of IPv6: one /64). Behind a balancer that sends no "
                   "PROXY header, where all come from its address, set it to TLS_HANDSHAKES_LIMIT.",
           .least = 1,
           .most = 1'000'000},
    Option{.key = "MQTT_CONNECTS_PER_S",
           .type = Type::kInteger,
           .default_value = "5000",
           .help = "MQTT connections taken in a second, over all listeners; more wait in the kernel's backlog. 0: no "
                   "limit.",
           .least = 0,
           .most = 1'000'000},
    Option{.key = "HANDSHAKE_DEADLINE_MS",
           .type = Type::kInteger,
           .default_value = "10000",
           .help = "Time for a PROXY header and a TLS handshake together, and again for a WebSocket's request.",
           .least = 100,
           .most = 600'000},
    Option{.key = "PROXY_PROTOCOL_FROM",
           .help = "Addresses and networks of balancers, commas between: their connections to MQTT and HTTP must begin "
                   "with a PROXY protocol header of version 2, which says the client's address. Empty: none."},
    Option{.key = "COAP_ADDR",
           .type = Type::kAddress,
           .help = "Where CoAP without DTLS listens (UDP); devices then send their tokens in the clear. Empty: off."},
    Option{.key = "COAPS_ADDR",
           .type = Type::kAddress,
           .default_value = "127.0.0.1:5684",
           .help = "Where CoAP over DTLS listens (UDP). Empty: off.",
           .may_be_empty = true},
    Option{.key = "OPS_ADDR",
           .type = Type::kAddress,
           .default_value = "127.0.0.1:9101",
           .help = "Where /metrics, /livez and /readyz listen."},
    Option{.key = "KAFKA_BOOTSTRAP", .help = "Kafka brokers, host:port with commas between.", .required = true},
    Option{.key = "KAFKA_TOPIC_PREFIX", .default_value = "millrace.", .help = "Prefix of all topics."},
    Option{.key = "KAFKA_LINGER_US",
           .type = Type::kInteger,
           .default_value = "2000",
           .help = "How long a record waits for company in its batch.",
           .least = 0,
           .most = 1'000'000},
    Option{
        .key = "STATE_DIR",
        .help =
            "Folder for what the gateway keeps of itself, and the bridge's journal; each gateway needs its own, kept "
            "over restarts.",
        .required = true},
    Option{.key = "NAME",
           .help = "Name of this gateway in presence, unlike any other's; empty: drawn once and kept in STATE_DIR."},
    Option{.key = "IO_THREADS",
           .type = Type::kInteger,
           .default_value = "0",
           .help = "Threads for connections; 0: one a core.",
           .least = 0,
           .most = 256},
    Option{.key = "REGISTRY_ADDR",
           .type = Type::kAddress,
           .help =
               "device-registry, asked to make devices that come with a certificate of an authority that provisions. "
               "Empty: such devices are refused."},
    Option{.key = "REGISTRY_CA_FILE", .help = "PEM of those who sign the registry's certificate. Empty: plaintext."},
    Option{.key = "REGISTRY_KEY_FILE",
           .help = "File with the API key for it, of an operator of the platform; read for each device that is made."},
    Option{.key = "PASSWORD_THREADS",
           .type = Type::kInteger,
           .default_value = "0",
           .help = "Threads that check passwords of devices, tens of milliseconds each; 0: one for two cores.",
           .least = 0,
           .most = 256},
    Option{.key = "IN_FLIGHT_LIMIT_BYTES",
           .type = Type::kInteger,
           .default_value = "268435456",
           .help = "Memory for records without a delivery report; at the limit nothing new is taken.",
           .least = 1'048'576},
    Option{.key = "STALL_AFTER_MS",
           .type = Type::kInteger,
           .default_value = "2000",
           .help = "Age of the oldest record without a delivery report from which on nothing new is taken.",
           .least = 100,
           .most = 600'000},
    Option{.key = "HTTP_ANSWER_DEADLINE_MS",
           .type = Type::kInteger,
           .default_value = "10000",
           .help = "After this a request without a delivery report is answered 504, outcome unknown.",
           .least = 100,
           .most = 600'000},
    Option{.key = "COAP_ANSWER_DEADLINE_MS",
           .type = Type::kInteger,
           .default_value = "10000",
           .help = "The same over CoAP: 5.04, outcome unknown.",
           .least = 100,
           .most = 200'000},
    Option{.key = "COAP_EXCHANGES_LIMIT",
           .type = Type::kInteger,
           .default_value = "100000",
           .help = "CoAP messages whose answer is remembered for retransmissions, about 250 bytes each.",
           .least = 100,
           .most = 10'000'000},
    Option{.key = "LIMIT_LEASE_MS",
           .type = Type::kInteger,
           .default_value = "1000",
           .help = "How often gateways share the limits of tenants out among each other.",
           .least = 100,
           .most = 60'000},
    Option{.key = "METRIC_NAMES_LIMIT",
           .type = Type::kInteger,
           .default_value = "10000",
           .help = "Different metric names of one tenant.",
           .least = 1,
           .most = 10'000'000},
    Option{.key = "CONNECTIONS_LIMIT",
           .type = Type::kInteger,
           .default_value = "15000",
           .help = "Open connections for MQTT and for HTTP, and idle peers of CoAP and of CoAPS, each.",
           .least = 1},
    Option{.key = "UNIDENTIFIED_PER_ADDRESS_LIMIT",
           .type = Type::kInteger,
           .default_value = "5000",
           .help = "Connections of MQTT and HTTP that one address may have without valid credentials, so that nobody "
                   "without them takes all. All devices behind one NAT or behind a balancer without PROXY headers have "
                   "one address: as many may connect at once.",
           .least = 1},
    Option{.key = "MQTT_PACKET_LIMIT_BYTES",
           .type = Type::kInteger,
           .default_value = "262144",
           .help = "Largest MQTT packet.",
           .least = 1024,
           .most = 268'435'455},
    Option{.key = "MQTT_RECEIVE_MAXIMUM",
           .type = Type::kInteger,
           .default_value = "1024",
           .help = "QoS 1 and 2 messages of one connection without PUBACK or PUBREC.",
           .least = 1,
           .most = 65'535},
    Option{.key = "MQTT_SESSION_EXPIRY_LIMIT_S",
           .type = Type::kInteger,
           .default_value = "86400",
           .help = "Longest that a session is kept without a connection, whatever its client asks.",
           .least = 0,
           .most = 4'294'967'294},
    Option{.key = "MQTT_SESSIONS_LIMIT",
           .type = Type::kInteger,
           .default_value = "100000",
           .help = "Sessions of one tenant, those without a connection too; further clients are refused.",
           .least = 1,
           .most = 100'000'000},
    Option{.key = "MQTT_DEVICE_SESSIONS_LIMIT",
           .type = Type::kInteger,
           .default_value = "100",
           .help = "Sessions of one device (one for each client id), those without a connection too; further clients "
                   "are refused.",
           .least = 1,
           .most = 100'000'000},
    Option{.key = "MQTT_MEMORY_LIMIT_BYTES",
           .type = Type::kInteger,
           .default_value = "536870912",
           .help = "What the sessions, subscriptions, queued and retained messages and the large packets being "
                   "received of all tenants may occupy together. "
                   "A tenant gets as much as is still free, a device as much as is still free for its tenant.",
           .least = 1'048'576,
           .most = 1'099'511'627'776},
    Option{.key = "BRIDGE_FILE",
           .help = "JSON file of the MQTT brokers that the bridge takes messages from (docs/bridge.md). Empty: off."},
    Option{.key = "BRIDGE_JOURNAL_LIMIT_BYTES",
           .type = Type::kInteger,
           .default_value = "1073741824",
           .help = "Largest size of the journal in STATE_DIR; a full one acknowledges nothing.",
           .least = 16'777'216,
           .most = 1'099'511'627'776},
    Option{.key = "BRIDGE_SYNC",
           .type = Type::kChoice,
           .default_value = "interval",
           .help = "When the journal is put on the disk: before each acknowledgement, every few milliseconds, or when "
                   "the system does it. It matters for the loss of power alone.",
           .choices = "each|interval|none"},
    Option{.key = "BRIDGE_SYNC_INTERVAL_MS",
           .type = Type::kInteger,
           .default_value = "10",
           .help = "Pause between two writes to the disk with BRIDGE_SYNC=interval.",
           .least = 1,
           .most = 60'000},
    Option{.key = "MQTT_CONNECT_DEADLINE_MS",
           .type = Type::kInteger,
           .default_value = "10000",
           .help = "After this a CONNECT that Kafka has not confirmed is refused.",
           .least = 100,
           .most = 600'000},
    Option{.key = "MQTT_DRAIN_MS",
           .type = Type::kInteger,
           .default_value = "3000",
           .help = "Time over which a gateway that is stopped sends its MQTT clients away, one after the other.",
           .least = 0,
           .most = 600'000},
    Option{.key = "MQTT_SERVER_REFERENCE",
           .help = "Where MQTT 5 clients of a gateway that is stopped are told to go (host:port). Empty: not said."},
    Option{.key = "STOP_DEADLINE_MS",
           .type = Type::kInteger,
           .default_value = "30000",
           .help = "Time for a clean stop after SIGTERM.",
           .least = 100,
           .most = 600'000},
    Option{.key = "LOG_LEVEL",
           .type = Type::kChoice,
           .default_value = "info",
           .help = "Least level that is logged.",
           .choices = "debug|info|warn|error"},
};

constexpr std::array kCommands{runtime::kHealthcheck};

Status check(const config::Values& values) {
  if (values.string("REGISTRY_ADDR").empty() != values.string("REGISTRY_KEY_FILE").empty()) {
    return Error{ErrorKind::kInvalid, "REGISTRY_ADDR and REGISTRY_KEY_FILE need each other"};
  }
  const std::string& file = values.string("BRIDGE_FILE");
  if (file.empty()) return {};
  if (auto brokers = read_bridge_file(file); !brokers.ok()) return brokers.error();
  return {};
}

BridgeSync sync_of(const std::string& text) {
  if (text == "each") return BridgeSync::kEach;
  return text == "none" ? BridgeSync::kNone : BridgeSync::kInterval;
}

constexpr config::OptionTable kTable{
    .program = "protocol-gateway",
    .summary = "takes messages of devices over MQTT, HTTP and CoAP and acknowledges them when Kafka has them",
    .prefix = "MILLRACE_PROTOCOL_GATEWAY_",
    .options = kOptions,
    .commands = kCommands,
    .check = check};

}  // namespace

const config::OptionTable& option_table() { return kTable; }

Config read_config(const config::Values& values) {
  const auto size = [&](std::string_view key) { return static_cast<std::size_t>(values.integer(key)); };
  const auto ms = [&](std::string_view key) { return std::chrono::milliseconds{values.integer(key)}; };
  Config config;
  if (!values.string("MQTT_ADDR").empty()) config.mqtt = values.address("MQTT_ADDR");
  if (!values.string("MQTT_OPEN_ADDR").empty()) config.mqtt_open = values.address("MQTT_OPEN_ADDR");
  config.mqtt_open_anywhere = values.boolean("MQTT_OPEN_ANYWHERE");
  const auto optional = [&](std::string_view key) {
    return values.string(key).empty() ? std::nullopt : std::optional(values.address(key));
  };
  config.mqtts = optional("MQTTS_ADDR");
  config.mqtt_ws = optional("MQTT_WS_ADDR");
  config.mqtt_wss = optional("MQTT_WSS_ADDR");
  config.certificate_files = values.string("TLS_CERTIFICATE_FILES");
  config.key_files = values.string("TLS_KEY_FILES");
  config.balancers = values.string("PROXY_PROTOCOL_FROM");
  config.handshake_deadline = ms("HANDSHAKE_DEADLINE_MS");
  config.handshakes_per_s = size("TLS_HANDSHAKES_PER_S");
  config.handshakes = {size("TLS_HANDSHAKES_LIMIT"), size("TLS_HANDSHAKES_PER_ADDRESS_LIMIT")};
  config.connects_per_s = size("MQTT_CONNECTS_PER_S");
  config.http = optional("HTTP_ADDR");
  config.https = optional("HTTPS_ADDR");
  if (!values.string("COAP_ADDR").empty()) config.coap.plain = values.address("COAP_ADDR");
  if (!values.string("COAPS_ADDR").empty()) config.coap.secure = values.address("COAPS_ADDR");
  config.coap.ingest.answer_deadline = ms("COAP_ANSWER_DEADLINE_MS");
  config.coap.ingest.max_exchanges = size("COAP_EXCHANGES_LIMIT");
  config.coap.max_sessions = size("CONNECTIONS_LIMIT");
  config.ops = values.address("OPS_ADDR");
  config.kafka.bootstrap = values.string("KAFKA_BOOTSTRAP");
  config.kafka.client_id = "protocol-gateway";
  config.topic_prefix = values.string("KAFKA_TOPIC_PREFIX");
  config.state_dir = values.string("STATE_DIR");
  config.gateway_name = values.string("NAME");
  config.io_threads = size("IO_THREADS");
  config.registry = optional("REGISTRY_ADDR");
  config.registry_ca_file = values.string("REGISTRY_CA_FILE");
  config.registry_key_file = values.string("REGISTRY_KEY_FILE");
  config.password_threads = size("PASSWORD_THREADS");
  config.linger_ms = static_cast<double>(values.integer("KAFKA_LINGER_US")) / 1000;
  config.max_in_flight_bytes = size("IN_FLIGHT_LIMIT_BYTES");
  config.stall_after = ms("STALL_AFTER_MS");
  config.answer_deadline = ms("HTTP_ANSWER_DEADLINE_MS");
  config.limit_lease = ms("LIMIT_LEASE_MS");
  config.max_metric_names = size("METRIC_NAMES_LIMIT");
  config.max_connections = size("CONNECTIONS_LIMIT");
  config.max_strangers_per_address = size("UNIDENTIFIED_PER_ADDRESS_LIMIT");
  config.max_packet_bytes = static_cast<std::uint32_t>(values.integer("MQTT_PACKET_LIMIT_BYTES"));
  config.receive_maximum = static_cast<std::uint16_t>(values.integer("MQTT_RECEIVE_MAXIMUM"));
  config.max_session_expiry_s = static_cast<std::uint32_t>(values.integer("MQTT_SESSION_EXPIRY_LIMIT_S"));
  config.max_sessions = size("MQTT_SESSIONS_LIMIT");
  config.max_sessions_per_device = size("MQTT_DEVICE_SESSIONS_LIMIT");
  config.mqtt_memory_bytes = size("MQTT_MEMORY_LIMIT_BYTES");
  config.bridge.file = values.string("BRIDGE_FILE");
  config.bridge.folder = config.state_dir + "/bridge";
  config.bridge.journal_bytes = size("BRIDGE_JOURNAL_LIMIT_BYTES");
  config.bridge.sync = sync_of(values.string("BRIDGE_SYNC"));
  config.bridge.sync_interval = ms("BRIDGE_SYNC_INTERVAL_MS");
  config.bridge.kafka = config.kafka;
  config.bridge.command_topic = kafka::TopicNames{config.topic_prefix}.command_events();
  config.connect_deadline = ms("MQTT_CONNECT_DEADLINE_MS");
  config.drain_spread = ms("MQTT_DRAIN_MS");
  config.server_reference = values.string("MQTT_SERVER_REFERENCE");
  config.stop_deadline = ms("STOP_DEADLINE_MS");
  config.log_level = observability::parse_level(values.string("LOG_LEVEL"));
  return config;
}

}  // namespace millrace::gateway
