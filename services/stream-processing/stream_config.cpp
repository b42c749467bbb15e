#include "stream_config.hpp"

#include <array>

#include <millrace/runtime/healthcheck.hpp>

namespace millrace::stream {
namespace {

using config::Option;
using config::Type;

constexpr std::array kOptions{
    Option{.key = "OPS_ADDR",
           .type = Type::kAddress,
           .default_value = "127.0.0.1:9104",
           .help = "Where /metrics, /livez and /readyz listen."},
    Option{.key = "KAFKA_BOOTSTRAP", .help = "Kafka brokers, host:port with commas between.", .required = true},
    Option{.key = "KAFKA_TOPIC_PREFIX", .default_value = "millrace.", .help = "Prefix of all topics."},
    Option{.key = "KAFKA_GROUP",
           .default_value = "millrace-stream-processing",
           .help = "Consumer group; instances that share the partitions have the same."},
    Option{.key = "KAFKA_INSTANCE",
           .help =
               "Name of this instance, another one for each (group.instance.id and transactional.id are made of it):"
               " a restart under the same name keeps its partitions and ends what was left open.",
           .required = true},
    Option{.key = "KAFKA_SESSION_TIMEOUT_MS",
           .type = Type::kInteger,
           .default_value = "6000",
           .help = "After this silence the group gives the partitions to another instance.",
           .least = 2'000,
           .most = 600'000},
    Option{.key = "KAFKA_PREFETCH_BYTES",
           .type = Type::kInteger,
           .default_value = "67108864",
           .help = "Records fetched ahead, for each worker.",
           .least = 1'048'576},
    Option{
        .key = "KAFKA_TRANSACTION_TIMEOUT_MS",
        .type = Type::kInteger,
        .default_value = "10000",
        .help = "The broker ends a transaction that is open for longer; readers of windows and alerts wait until then.",
        .least = 2'000,
        .most = 900'000},
    Option{.key = "WORKERS",
           .type = Type::kInteger,
           .default_value = "1",
           .help = "Threads with a consumer and a producer each; the partitions are shared among them.",
           .least = 1,
           .most = 256},
    Option{.key = "WINDOW_S",
           .type = Type::kInteger,
           .default_value = "60",
           .help = "Length of a window in event time.",
           .least = 1,
           .most = 86'400},
    Option{
        .key = "LATENESS_S",
        .type = Type::kInteger,
        .default_value = "60",
        .help = "How long a window waits for readings after its end. What is read again after a crash grows with it.",
        .least = 0,
        .most = 86'400},
    Option{.key = "COMMIT_INTERVAL_MS",
           .type = Type::kInteger,
           .default_value = "100",
           .help = "Windows and alerts are committed after this time; alerts of critical rules at once.",
           .least = 1,
           .most = 60'000},
    Option{.key = "COMMIT_RECORDS",
           .type = Type::kInteger,
           .default_value = "65536",
           .help = "Records of one transaction at most.",
           .least = 1},
    Option{.key = "COPY_WINDOW_S",
           .type = Type::kInteger,
           .default_value = "600",
           .help = "Stretch of the log before the position that is read again at a start, to recognise copies.",
           .least = 0,
           .most = 86'400},
    Option{.key = "COPY_RECORDS",
           .type = Type::kInteger,
           .default_value = "2000000",
           .help = "Bound of that stretch in records over all partitions, so that a start stays under ten seconds.",
           .least = 0},
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

constexpr config::OptionTable kTable{.program = "stream-processing",
                                     .summary = "computes windows and alerts from telemetry, each exactly once",
                                     .prefix = "MILLRACE_STREAM_PROCESSING_",
                                     .options = kOptions,
                                     .commands = kCommands};

}  // namespace

const config::OptionTable& option_table() { return kTable; }

Config read_config(const config::Values& values) {
  const auto ms = [&](std::string_view key) { return std::chrono::milliseconds{values.integer(key)}; };
  Config config;
  config.ops = values.address("OPS_ADDR");
  config.kafka.bootstrap = values.string("KAFKA_BOOTSTRAP");
  config.kafka.client_id = "stream-processing";
  config.topics.prefix = values.string("KAFKA_TOPIC_PREFIX");
  config.group = values.string("KAFKA_GROUP");
  config.instance = values.string("KAFKA_INSTANCE");
  config.workers = static_cast<int>(values.integer("WORKERS"));
  config.session_timeout = ms("KAFKA_SESSION_TIMEOUT_MS");
  config.prefetch_bytes = static_cast<std::size_t>(values.integer("KAFKA_PREFETCH_BYTES"));
  config.engine.windows.size = values.integer("WINDOW_S") * kUsPerSecond;
  config.engine.windows.lateness = values.integer("LATENESS_S") * kUsPerSecond;
  config.commit_interval = ms("COMMIT_INTERVAL_MS");
  config.commit_records = static_cast<std::size_t>(values.integer("COMMIT_RECORDS"));
  config.transaction_timeout = ms("KAFKA_TRANSACTION_TIMEOUT_MS");
  config.copy_window = std::chrono::seconds{values.integer("COPY_WINDOW_S")};
  config.copy_records = values.integer("COPY_RECORDS");
  config.stop_deadline = ms("STOP_DEADLINE_MS");
  config.log_level = observability::parse_level(values.string("LOG_LEVEL"));
  return config;
}

}  // namespace millrace::stream
