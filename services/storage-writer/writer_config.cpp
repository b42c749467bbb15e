#include "writer_config.hpp"

#include <array>

#include <millrace/runtime/healthcheck.hpp>

namespace millrace::writer {
namespace {

using config::Option;
using config::Type;

constexpr std::array kOptions{
    Option{.key = "OPS_ADDR",
           .type = Type::kAddress,
           .default_value = "127.0.0.1:9105",
           .help = "Where /metrics, /livez and /readyz listen."},
    Option{.key = "KAFKA_BOOTSTRAP", .help = "Kafka brokers, host:port with commas between.", .required = true},
    Option{.key = "KAFKA_TOPIC_PREFIX", .default_value = "millrace.", .help = "Prefix of all topics."},
    Option{.key = "KAFKA_GROUP",
           .default_value = "millrace-storage-writer",
           .help = "Consumer group; writers of one database share it."},
    Option{
        .key = "KAFKA_INSTANCE",
        .default_value = "",
        .help =
            "Static member id, one per writer (group.instance.id): a restart then keeps its partitions. Empty: none."},
    Option{.key = "KAFKA_SESSION_TIMEOUT_MS",
           .type = Type::kInteger,
           .default_value = "6000",
           .help = "After this silence the group gives the partitions to another writer.",
           .least = 2'000,
           .most = 600'000},
    Option{.key = "KAFKA_PREFETCH_BYTES",
           .type = Type::kInteger,
           .default_value = "67108864",
           .help = "Records fetched ahead of the batch.",
           .least = 1'048'576},
    Option{
        .key = "DATABASE_URL", .help = "PostgreSQL, as a libpq URI.", .secret = config::Secret::kYes, .required = true},
    Option{.key = "DATABASE_TIMEOUT_MS",
           .type = Type::kInteger,
           .default_value = "10000",
           .help = "A call to the database without an answer for so long counts as a hung server.",
           .least = 500,
           .most = 600'000},
    Option{.key = "BATCH_ROWS",
           .type = Type::kInteger,
           .default_value = "50000",
           .help = "Rows of one transaction at most.",
           .least = 100,
           .most = 1'000'000},
    Option{.key = "BATCH_BYTES",
           .type = Type::kInteger,
           .default_value = "67108864",
           .help = "Record bytes of one transaction at most.",
           .least = 1'048'576},
    Option{.key = "BATCH_LINGER_MS",
           .type = Type::kInteger,
           .default_value = "8",
           .help = "How long the first record of a batch waits for company while the database is idle.",
           .least = 0,
           .most = 1'000},
    Option{.key = "LATEST_INTERVAL_MS",
           .type = Type::kInteger,
           .default_value = "1000",
           .help = "How often the newest values are written to storage.latest.",
           .least = 50,
           .most = 60'000},
    Option{.key = "COPY_WINDOW_S",
           .type = Type::kInteger,
           .default_value = "600",
           .help =
               "Where no state of the copy rules is saved: stretch of the log before the position that is read again "
               "instead, to recognise copies.",
           .least = 0,
           .most = 86'400},
    Option{.key = "COPY_RECORDS",
           .type = Type::kInteger,
           .default_value = "2000000",
           .help = "Bound of that stretch in records over all partitions, so that a start stays under ten seconds.",
           .least = 0},
    Option{.key = "COPY_STATE_INTERVAL_MS",
           .type = Type::kInteger,
           .default_value = "30000",
           .help = "How often what tells copies apart is saved of a partition; a large state less often, up to ten "
                   "times this.",
           .least = 50,
           .most = 3'600'000},
    Option{.key = "SERIES_LIMIT",
           .type = Type::kInteger,
           .default_value = "5000000",
           .help = "Series whose greatest time is kept in memory (about 60 bytes each).",
           .least = 1'000},
    Option{.key = "PARTITIONS_LIMIT",
           .type = Type::kInteger,
           .default_value = "4000",
           .help = "Days with a partition of their own; further days go to the default partition.",
           .least = 10,
           .most = 100'000},
    Option{
        .key = "REFUSED_POINTS_LIMIT",
        .type = Type::kInteger,
        .default_value = "1000",
        .help = "Points of one batch that the database may refuse; beyond, the writer stops instead of burying them.",
        .least = 1},
    Option{.key = "DERIVED_BATCH_ROWS",
           .type = Type::kInteger,
           .default_value = "5000",
           .help = "Windows and alerts of one transaction at most.",
           .least = 1,
           .most = 100'000},
    Option{.key = "DERIVED_LINGER_MS",
           .type = Type::kInteger,
           .default_value = "50",
           .help = "How long the first window or alert of a transaction waits for company.",
           .least = 0,
           .most = 10'000},
    Option{
        .key = "MAINTENANCE_INTERVAL_MS",
        .type = Type::kInteger,
        .default_value = "60000",
        .help =
            "How often old days are looked after: retention, compaction, roll-ups, late rows. 0: not by this writer.",
        .least = 0,
        .most = 86'400'000},
    Option{
        .key = "MAINTENANCE_ROWS",
        .type = Type::kInteger,
        .default_value = "2000000",
        .help = "Rows that one transaction of the compaction packs, about; it takes 100 MB of the database's memory.",
        .least = 1'000},
    Option{.key = "HOT_HOURS",
           .type = Type::kInteger,
           .default_value = "48",
           .help = "How long after its end (UTC) a day stays in rows before it is compacted; 876000 is never.",
           .least = 0,
           .most = 1'000'000},
    Option{.key = "HOT_QUIET_S",
           .type = Type::kInteger,
           .default_value = "600",
           .help = "A day is not compacted before no row came into it for so long.",
           .least = 0,
           .most = 604'800},
    Option{.key = "LOG_KEEP_HOURS",
           .type = Type::kInteger,
           .default_value = "168",
           .help = "Records of telemetry go when they are so old, stored, and processed; 876000 is never.",
           .least = 0,
           .most = 1'000'000},
    Option{.key = "LOG_TRIM_INTERVAL_MS",
           .type = Type::kInteger,
           .default_value = "600000",
           .help = "How often such records are looked for. 0: not by this writer.",
           .least = 0,
           .most = 86'400'000},
    Option{
        .key = "STREAM_GROUP",
        .default_value = "millrace-stream-processing",
        .help = "Consumer group of stream-processing: what it has not processed, or reads again at its start, stays."},
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

constexpr std::array kCommands{config::Command{"migrate", "bring the schema `storage` up to date and exit"},
                               runtime::kHealthcheck};

constexpr config::OptionTable kTable{.program = "storage-writer",
                                     .summary = "copies telemetry from Kafka to PostgreSQL, each message once",
                                     .prefix = "MILLRACE_STORAGE_WRITER_",
                                     .options = kOptions,
                                     .commands = kCommands};

}  // namespace

const config::OptionTable& option_table() { return kTable; }

Config read_config(const config::Values& values) {
  const auto size = [&](std::string_view key) { return static_cast<std::size_t>(values.integer(key)); };
  const auto ms = [&](std::string_view key) { return std::chrono::milliseconds{values.integer(key)}; };
  Config config;
  config.ops = values.address("OPS_ADDR");
  config.kafka.bootstrap = values.string("KAFKA_BOOTSTRAP");
  config.kafka.client_id = "storage-writer";
  config.session_timeout = ms("KAFKA_SESSION_TIMEOUT_MS");
  config.topics.prefix = values.string("KAFKA_TOPIC_PREFIX");
  config.group = values.string("KAFKA_GROUP");
  config.instance = values.string("KAFKA_INSTANCE");
  config.prefetch_bytes = size("KAFKA_PREFETCH_BYTES");
  config.database.url = values.string("DATABASE_URL");
  config.database.application_name = "storage-writer";
  config.database.call_timeout = ms("DATABASE_TIMEOUT_MS");
  // A COPY whose writer hangs in the middle waits inside its statement.
  config.database.statement_timeout = config.database.call_timeout + std::chrono::seconds{5};
  config.max_batch_rows = size("BATCH_ROWS");
  config.max_batch_bytes = size("BATCH_BYTES");
  config.batch_linger = ms("BATCH_LINGER_MS");
  config.latest_interval = ms("LATEST_INTERVAL_MS");
  config.copy_window = std::chrono::seconds{values.integer("COPY_WINDOW_S")};
  config.copy_records = size("COPY_RECORDS");
  config.copy_state_interval = ms("COPY_STATE_INTERVAL_MS");
  config.max_series = size("SERIES_LIMIT");
  config.max_partitions = size("PARTITIONS_LIMIT");
  config.max_refused_points = size("REFUSED_POINTS_LIMIT");
  config.derived_batch_rows = size("DERIVED_BATCH_ROWS");
  config.derived_linger = ms("DERIVED_LINGER_MS");
  config.maintenance_interval = ms("MAINTENANCE_INTERVAL_MS");
  config.days.rows_at_once = values.integer("MAINTENANCE_ROWS");
  config.days.hot = std::chrono::hours{values.integer("HOT_HOURS")};
  config.days.quiet = std::chrono::seconds{values.integer("HOT_QUIET_S")};
  config.log_keep = std::chrono::hours{values.integer("LOG_KEEP_HOURS")};
  config.log_trim_interval = ms("LOG_TRIM_INTERVAL_MS");
  config.stream_group = values.string("STREAM_GROUP");
  config.stop_deadline = ms("STOP_DEADLINE_MS");
  config.log_level = observability::parse_level(values.string("LOG_LEVEL"));
  return config;
}

}  // namespace millrace::writer
