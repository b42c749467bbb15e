#include "query_api_config.hpp"

#include <array>

#include <millrace/runtime/healthcheck.hpp>

namespace millrace::query_api {
namespace {

using config::Option;
using config::Secret;
using config::Type;

constexpr std::array kOptions{
    Option{.key = "GRPC_ADDR",
           .type = Type::kAddress,
           .default_value = "127.0.0.1:7102",
           .help = "Where gRPC listens (IP address and port)."},
    Option{.key = "TLS_CERTIFICATE_FILE",
           .help = "PEM file of the certificate with its intermediates: gRPC then speaks TLS only. Read again when it "
                   "changes. Empty: plaintext."},
    Option{.key = "TLS_KEY_FILE", .help = "PEM file of the certificate's key."},
    Option{.key = "OPS_ADDR",
           .type = Type::kAddress,
           .default_value = "127.0.0.1:9103",
           .help = "Where /metrics, /livez and /readyz listen."},
    Option{.key = "KAFKA_BOOTSTRAP", .help = "Kafka brokers, host:port with commas between.", .required = true},
    Option{.key = "KAFKA_TOPIC_PREFIX", .default_value = "millrace.", .help = "Prefix of all topics."},
    Option{.key = "DATABASE_URL",
           .help = "PostgreSQL with the schema storage; a role that may only read is enough.",
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
    Option{.key = "CALL_DEADLINE_MS",
           .type = Type::kInteger,
           .default_value = "10000",
           .help = "Deadline of calls that come without one.",
           .least = 10,
           .most = 600'000},
    Option{.key = "CALL_DEADLINE_LIMIT_MS",
           .type = Type::kInteger,
           .default_value = "60000",
           .help = "Longest deadline; longer ones are cut to it. Statements in the database end with it too.",
           .least = 10,
           .most = 3'600'000},
    Option{.key = "LOG_READERS",
           .type = Type::kInteger,
           .default_value = "2",
           .help = "Kafka clients for receipts and dead letters; so many calls read the log at once.",
           .least = 1,
           .most = 64},
    Option{.key = "TAILS_LIMIT",
           .type = Type::kInteger,
           .default_value = "1000",
           .help = "Tail calls open at once.",
           .least = 1,
           .most = 1'000'000},
    Option{.key = "TAIL_QUEUE_READINGS",
           .type = Type::kInteger,
           .default_value = "10000",
           .help = "Readings kept for one slow reader of a tail; beyond it they are counted as missed.",
           .least = 1,
           .most = 10'000'000},
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

constexpr std::array kCommands{runtime::kHealthcheck};

constexpr config::OptionTable kTable{
    .program = "query-api",
    .summary = "answers what was stored, what became of a receipt, and what comes in now, over gRPC",
    .prefix = "MILLRACE_QUERY_API_",
    .options = kOptions,
    .commands = kCommands};

}  // namespace

const config::OptionTable& option_table() { return kTable; }

Config read_config(const config::Values& values) {
  const auto size = [&](std::string_view key) { return static_cast<std::size_t>(values.integer(key)); };
  const auto ms = [&](std::string_view key) { return std::chrono::milliseconds{values.integer(key)}; };
  Config config;
  config.grpc = values.address("GRPC_ADDR");
  config.certificate_file = values.string("TLS_CERTIFICATE_FILE");
  config.key_file = values.string("TLS_KEY_FILE");
  config.ops = values.address("OPS_ADDR");
  config.kafka.bootstrap = values.string("KAFKA_BOOTSTRAP");
  config.kafka.client_id = "query-api";
  config.topic_prefix = values.string("KAFKA_TOPIC_PREFIX");
  config.database_url = values.string("DATABASE_URL");
  config.database_connections = size("DATABASE_CONNECTIONS");
  config.calls_waiting = size("CALLS_WAITING_LIMIT");
  config.call_deadline = ms("CALL_DEADLINE_MS");
  config.call_deadline_limit = ms("CALL_DEADLINE_LIMIT_MS");
  config.log_readers = size("LOG_READERS");
  config.tails = size("TAILS_LIMIT");
  config.tail_queue_readings = size("TAIL_QUEUE_READINGS");
  config.stop_deadline = ms("STOP_DEADLINE_MS");
  config.log_level = observability::parse_level(values.string("LOG_LEVEL"));
  return config;
}

}  // namespace millrace::query_api
