#include "query_api_config.hpp"

#include <array>
#include <sstream>

#include <millrace/runtime/healthcheck.hpp>

namespace millrace::query_api {
namespace {

using config::Option;
using config::Secret;
using config::Type;

constexpr std::array kOwnOptions{
    Option{.key = "GRPC_ADDR",
           .type = Type::kAddress,
           .default_value = "127.0.0.1:7102",
           .help = "Where gRPC listens (IP address and port)."},
    Option{.key = "TLS_CERTIFICATE_FILE",
           .help = "PEM file of the certificate with its intermediates: gRPC then speaks TLS only. Read again when it "
                   "changes. Empty: plaintext."},
    Option{.key = "TLS_KEY_FILE", .help = "PEM file of the certificate's key."},
    Option{.key = "HTTP_ADDR",
           .type = Type::kAddress,
           .default_value = "127.0.0.1:8090",
           .help = "Where gRPC-Web and JSON over HTTP/1.1 listen; over TLS where gRPC is."},
    Option{.key = "HTTP_BODY_LIMIT_BYTES",
           .type = Type::kInteger,
           .default_value = "262144",
           .help = "Longest body of a request over HTTP.",
           .least = 1'024,
           .most = 4'194'304},
    Option{.key = "CORS_ORIGINS",
           .help =
               "Origins whose pages may call over HTTP, as browsers write them (https://board.example), with commas "
               "between; * for all. Empty: none but the service's own."},
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
           .help =
               "Connections to PostgreSQL and threads that use them; two more connections read offsets and exports, "
               "and one for each of ARCHIVE_READERS archived days.",
           .least = 1,
           .most = 256},
    Option{.key = "CALLS_WAITING_LIMIT",
           .type = Type::kInteger,
           .default_value = "256",
           .help = "Calls that may wait for a thread; further ones get RESOURCE_EXHAUSTED.",
           .least = 1,
           .most = 100'000},
    Option{.key = "TENANT_CALLS_WAITING_LIMIT",
           .type = Type::kInteger,
           .default_value = "64",
           .help = "The same of one tenant, or of one key of the platform; tenants take turns, and one leaves a thread "
                   "to the others.",
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
    Option{.key = "EXPORTS_LIMIT",
           .type = Type::kInteger,
           .default_value = "16",
           .help = "Exports that may wait for their next piece; they take turns.",
           .least = 1,
           .most = 10'000},
    Option{.key = "ARCHIVE_READERS",
           .type = Type::kInteger,
           .default_value = "4",
           .help = "Calls that have a process parquet-worker at once, for reads of archived days and for exports as "
                   "Parquet or Arrow. For each of them three further reads may wait, of one tenant half as many in "
                   "all; more get RESOURCE_EXHAUSTED.",
           .least = 1,
           .most = 64},
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

constexpr auto kOptions = archive::with_store_options(kOwnOptions);

constexpr std::array kCommands{runtime::kHealthcheck};

constexpr config::OptionTable kTable{
    .program = "query-api",
    .summary = "answers what was stored, what became of a receipt, and what comes in now, over gRPC, gRPC-Web and JSON",
    .prefix = "MILLRACE_QUERY_API_",
    .options = kOptions,
    .commands = kCommands,
    .check = archive::check_store_settings};

/// The parts between commas, without blanks around them.
std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  std::istringstream text(list);
  for (std::string part; std::getline(text, part, ',');) {
    std::erase(part, ' ');
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

}  // namespace

const config::OptionTable& option_table() { return kTable; }

Config read_config(const config::Values& values) {
  const auto size = [&](std::string_view key) { return static_cast<std::size_t>(values.integer(key)); };
  const auto ms = [&](std::string_view key) { return std::chrono::milliseconds{values.integer(key)}; };
  Config config;
  config.grpc = values.address("GRPC_ADDR");
  config.certificate_file = values.string("TLS_CERTIFICATE_FILE");
  config.key_file = values.string("TLS_KEY_FILE");
  config.http = values.address("HTTP_ADDR");
  config.http_body_bytes = size("HTTP_BODY_LIMIT_BYTES");
  config.cors_origins = split(values.string("CORS_ORIGINS"));
  config.ops = values.address("OPS_ADDR");
  config.kafka.bootstrap = values.string("KAFKA_BOOTSTRAP");
  config.kafka.client_id = "query-api";
  config.topic_prefix = values.string("KAFKA_TOPIC_PREFIX");
  config.database_url = values.string("DATABASE_URL");
  config.database_connections = size("DATABASE_CONNECTIONS");
  config.calls_waiting = size("CALLS_WAITING_LIMIT");
  config.tenant_calls_waiting = size("TENANT_CALLS_WAITING_LIMIT");
  config.call_deadline = ms("CALL_DEADLINE_MS");
  config.call_deadline_limit = ms("CALL_DEADLINE_LIMIT_MS");
  config.log_readers = size("LOG_READERS");
  config.tails = size("TAILS_LIMIT");
  config.exports = size("EXPORTS_LIMIT");
  config.tail_queue_readings = size("TAIL_QUEUE_READINGS");
  config.archive = archive::read_store_settings(values);
  config.archive_readers = size("ARCHIVE_READERS");
  config.stop_deadline = ms("STOP_DEADLINE_MS");
  config.log_level = observability::parse_level(values.string("LOG_LEVEL"));
  return config;
}

}  // namespace millrace::query_api
