#include "registry_config.hpp"

#include <array>

#include <millrace/runtime/healthcheck.hpp>

namespace millrace::registry {
namespace {

using config::Command;
using config::Option;
using config::Secret;
using config::Type;

constexpr std::array kOptions{
    Option{.key = "GRPC_ADDR",
           .type = Type::kAddress,
           .default_value = "127.0.0.1:7101",
           .help = "Where gRPC listens (IP address and port)."},
    Option{.key = "TLS_CERTIFICATE_FILE",
           .help = "PEM file of the certificate with its intermediates: gRPC then speaks TLS only. Read again when it "
                   "changes. Empty: plaintext."},
    Option{.key = "TLS_KEY_FILE", .help = "PEM file of the certificate's key."},
    Option{.key = "OPS_ADDR",
           .type = Type::kAddress,
           .default_value = "127.0.0.1:9102",
           .help = "Where /metrics, /livez and /readyz listen."},
    Option{.key = "KAFKA_BOOTSTRAP", .help = "Kafka brokers, host:port with commas between.", .required = true},
    Option{.key = "KAFKA_TOPIC_PREFIX", .default_value = "millrace.", .help = "Prefix of all topics."},
    Option{.key = "DATABASE_URL",
           .help = "PostgreSQL; the role owns the schema registry, and may read storage.dead_letter and "
                   "storage.ingest_offset (dead-letter replay).",
           .secret = Secret::kYes,
           .required = true},
    Option{.key = "DATABASE_CONNECTIONS",
           .type = Type::kInteger,
           .default_value = "4",
           .help = "Connections to PostgreSQL and threads that use them.",
           .least = 1,
           .most = 256},
    Option{.key = "CALLS_WAITING_LIMIT",
           .type = Type::kInteger,
           .default_value = "256",
           .help = "Calls that may wait for a thread; further ones get RESOURCE_EXHAUSTED.",
           .least = 1,
           .most = 100'000},
    Option{.key = "STOP_DEADLINE_MS",
           .type = Type::kInteger,
           .default_value = "15000",
           .help = "Time for a clean stop after SIGTERM.",
           .least = 100,
           .most = 600'000},
    Option{.key = "LOG_LEVEL",
           .type = Type::kChoice,
           .default_value = "info",
           .help = "Least level that is logged.",
           .choices = "debug|info|warn|error"},
};

constexpr std::array kCommands{
    Command{.name = "migrate", .help = "Brings the schema registry up to date."},
    Command{.name = "bootstrap",
            .help = "Prints the first admin key of the platform, once; with --tenant NAME also makes that tenant and "
                    "prints its admin key instead."},
    runtime::kHealthcheck,
};

constexpr config::OptionTable kTable{.program = "device-registry",
                                     .summary = "owns tenants, devices, tokens and API keys",
                                     .prefix = "MILLRACE_DEVICE_REGISTRY_",
                                     .options = kOptions,
                                     .commands = kCommands};

}  // namespace

const config::OptionTable& option_table() { return kTable; }

Config read_config(const config::Values& values) {
  const auto size = [&](std::string_view key) { return static_cast<std::size_t>(values.integer(key)); };
  Config config;
  config.grpc = values.address("GRPC_ADDR");
  config.certificate_file = values.string("TLS_CERTIFICATE_FILE");
  config.key_file = values.string("TLS_KEY_FILE");
  config.ops = values.address("OPS_ADDR");
  config.kafka.bootstrap = values.string("KAFKA_BOOTSTRAP");
  config.kafka.client_id = "device-registry";
  config.topic_prefix = values.string("KAFKA_TOPIC_PREFIX");
  config.database_url = values.string("DATABASE_URL");
  config.database_connections = size("DATABASE_CONNECTIONS");
  config.calls_waiting = size("CALLS_WAITING_LIMIT");
  config.stop_deadline = std::chrono::milliseconds{values.integer("STOP_DEADLINE_MS")};
  config.log_level = observability::parse_level(values.string("LOG_LEVEL"));
  return config;
}

}  // namespace millrace::registry
