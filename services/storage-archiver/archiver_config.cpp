#include "archiver_config.hpp"

#include <array>

#include <millrace/runtime/healthcheck.hpp>

namespace millrace::archiver {
namespace {

using config::Option;
using config::Type;

constexpr std::array kOwnOptions{
    Option{.key = "OPS_ADDR",
           .type = Type::kAddress,
           .default_value = "127.0.0.1:9106",
           .help = "Where /metrics, /livez and /readyz listen."},
    Option{.key = "DATABASE_URL",
           .help = "PostgreSQL, as a libpq URI; the role must own the schema storage, as storage-writer's does.",
           .secret = config::Secret::kYes,
           .required = true},
    Option{.key = "AFTER_DAYS",
           .type = Type::kInteger,
           .default_value = "35",
           .help = "A day is archived once it ended more than so many days ago (UTC).",
           .least = 0,
           .most = 100'000},
    Option{.key = "INTERVAL_S",
           .type = Type::kInteger,
           .default_value = "600",
           .help = "Pause between two looks for work.",
           .least = 1,
           .most = 86'400},
    Option{.key = "MERGE_INTERVAL_S",
           .type = Type::kInteger,
           .default_value = "86400",
           .help = "A day's file is written again for late rows only once it is so old.",
           .least = 0,
           .most = 31'536'000},
    Option{.key = "GRACE_S",
           .type = Type::kInteger,
           .default_value = "1209600",
           .help = "A file that was replaced by a newer one stays so long: a database that is restored from a backup "
                   "of before "
                   "names it still. Longer than the oldest backup you would restore is old.",
           .least = 0,
           .most = 31'536'000},
    Option{.key = "ORPHAN_AGE_S",
           .type = Type::kInteger,
           .default_value = "604800",
           .help = "Objects of this installation that the database does not know are deleted once they are so old.",
           .least = 0,
           .most = 315'360'000},
    Option{.key = "STEP_TIMEOUT_S",
           .type = Type::kInteger,
           .default_value = "7200",
           .help = "Writing, uploading or checking one day takes at most so long; then it is tried again.",
           .least = 10,
           .most = 604'800},
    Option{.key = "STATE_DIR",
           .default_value = "/var/lib/millrace",
           .help = "Folder for the file that is being written; about 3 bytes for each point of the largest day."},
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
constexpr auto kOptions = archive::with_store_options(kOwnOptions);

constexpr std::array kCommands{
    config::Command{"once",
                    "archive what is due, drop what is verified, sweep, and exit; exit code 0: all of it was done"},
    runtime::kHealthcheck};

constexpr config::OptionTable kTable{.program = "storage-archiver",
                                     .summary = "moves closed days from PostgreSQL to Parquet files",
                                     .prefix = "MILLRACE_STORAGE_ARCHIVER_",
                                     .options = kOptions,
                                     .commands = kCommands,
                                     .check = archive::check_store_settings};

}  // namespace

const config::OptionTable& option_table() { return kTable; }

Config read_config(const config::Values& values) {
  const auto seconds = [&](std::string_view key) { return std::chrono::seconds{values.integer(key)}; };
  Config config;
  config.ops = values.address("OPS_ADDR");
  config.store = archive::read_store_settings(values);
  config.after_days = values.integer("AFTER_DAYS");
  config.interval = seconds("INTERVAL_S");
  config.merge_interval = seconds("MERGE_INTERVAL_S");
  config.grace = seconds("GRACE_S");
  config.orphan_age = seconds("ORPHAN_AGE_S");
  config.step_timeout = seconds("STEP_TIMEOUT_S");
  config.spool = values.string("STATE_DIR");
  config.database.url = values.string("DATABASE_URL");
  config.database.application_name = "storage-archiver";
  // The first rows of a day may have to wait until all of them are sorted, and a transaction until a worker took some.
  config.database.call_timeout = config.step_timeout;
  config.database.statement_timeout = config.step_timeout;
  config.database.idle_in_transaction_timeout = config.step_timeout;
  config.stop_deadline = std::chrono::milliseconds{values.integer("STOP_DEADLINE_MS")};
  config.log_level = observability::parse_level(values.string("LOG_LEVEL"));
  return config;
}

}  // namespace millrace::archiver
