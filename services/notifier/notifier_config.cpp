#include "notifier_config.hpp"

#include <array>

#include <millrace/runtime/healthcheck.hpp>

namespace millrace::notifier {
namespace {

using config::Option;
using config::Type;

constexpr std::array kOptions{
    Option{.key = "OPS_ADDR",
           .type = Type::kAddress,
           .default_value = "127.0.0.1:9107",
           .help = "Where /metrics, /livez and /readyz listen."},
    Option{.key = "KAFKA_BOOTSTRAP", .help = "Kafka brokers, host:port with commas between.", .required = true},
    Option{.key = "KAFKA_TOPIC_PREFIX", .default_value = "millrace.", .help = "Prefix of all topics."},
    Option{.key = "KAFKA_GROUP",
           .default_value = "millrace-notifier",
           .help = "Consumer group; all notifiers of an installation share it."},
    Option{.key = "KAFKA_INSTANCE",
           .default_value = "",
           .help = "Static member id, one per notifier (group.instance.id): a restart then keeps its partitions. "
                   "Empty: none."},
    Option{.key = "KAFKA_SESSION_TIMEOUT_MS",
           .type = Type::kInteger,
           .default_value = "6000",
           .help = "After this silence the group gives the partitions to another notifier.",
           .least = 2'000,
           .most = 600'000},
    Option{.key = "ALLOW_PRIVATE_ADDRESSES",
           .type = Type::kBoolean,
           .default_value = "false",
           .help =
               "Whether webhooks may lead to loopback, private, link-local and other addresses that are not public. "
               "Tenants choose the URLs: only where all of them may reach the notifier's own network."},
    Option{.key = "ATTEMPT_TIMEOUT_MS",
           .type = Type::kInteger,
           .default_value = "10000",
           .help = "Time of one request, from the name's look-up to the status.",
           .least = 100,
           .most = 120'000},
    Option{.key = "RETRY_FIRST_MS",
           .type = Type::kInteger,
           .default_value = "1000",
           .help = "Wait before the second try; it doubles with each further one, with jitter.",
           .least = 10,
           .most = 600'000},
    Option{.key = "RETRY_MOST_MS",
           .type = Type::kInteger,
           .default_value = "300000",
           .help = "Longest wait between two tries.",
           .least = 10,
           .most = 86'400'000},
    Option{.key = "RETRY_AFTER_MOST_S",
           .type = Type::kInteger,
           .default_value = "3600",
           .help = "A longer Retry-After of a receiver is cut to it.",
           .least = 1,
           .most = 86'400},
    Option{.key = "RETRY_AGE_S",
           .type = Type::kInteger,
           .default_value = "86400",
           .help = "An event that is older is given up. Less than the 7 days for which `alerts` keeps every event.",
           .least = 1,
           .most = 518'400},
    Option{.key = "TENANT_CONCURRENCY",
           .type = Type::kInteger,
           .default_value = "4",
           .help = "Requests to one tenant's receiver at once.",
           .least = 1,
           .most = 1'000},
    Option{.key = "CONCURRENCY",
           .type = Type::kInteger,
           .default_value = "256",
           .help = "Requests at once, over all tenants.",
           .least = 1,
           .most = 10'000},
    Option{.key = "TENANT_QUEUE_EVENTS",
           .type = Type::kInteger,
           .default_value = "256",
           .help = "Events of one tenant in memory; further ones stay in the log and are read again later.",
           .least = 2,
           .most = 100'000},
    Option{.key = "QUEUE_EVENTS",
           .type = Type::kInteger,
           .default_value = "50000",
           .help = "Events of all tenants in memory (about 2 KB each); beyond, each tenant still gets four.",
           .least = 100,
           .most = 10'000'000},
    Option{.key = "PROGRESS_INTERVAL_MS",
           .type = Type::kInteger,
           .default_value = "500",
           .help = "How often it is written what was delivered; after a crash the events of so long are sent again.",
           .least = 10,
           .most = 60'000},
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

constexpr config::OptionTable kTable{.program = "notifier",
                                     .summary = "sends each alert to its tenant's webhook",
                                     .prefix = "MILLRACE_NOTIFIER_",
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
  config.kafka.client_id = "notifier";
  config.topics.prefix = values.string("KAFKA_TOPIC_PREFIX");
  config.group = values.string("KAFKA_GROUP");
  config.instance = values.string("KAFKA_INSTANCE");
  config.session_timeout = ms("KAFKA_SESSION_TIMEOUT_MS");
  config.sender.timeout = ms("ATTEMPT_TIMEOUT_MS");
  config.sender.addresses = values.boolean("ALLOW_PRIVATE_ADDRESSES") ? Addresses::kAll : Addresses::kPublicOnly;
  QueueRules& rules = config.dispatcher.limits.rules;
  rules.concurrency = size("TENANT_CONCURRENCY");
  rules.retry_first = ms("RETRY_FIRST_MS");
  rules.retry_most = ms("RETRY_MOST_MS");
  rules.retry_after_most = std::chrono::seconds{values.integer("RETRY_AFTER_MOST_S")};
  rules.max_age = std::chrono::seconds{values.integer("RETRY_AGE_S")};
  config.dispatcher.concurrency = size("CONCURRENCY");
  config.dispatcher.limits.tenant_events = size("TENANT_QUEUE_EVENTS");
  config.dispatcher.limits.events = size("QUEUE_EVENTS");
  config.progress_interval = ms("PROGRESS_INTERVAL_MS");
  config.stop_deadline = ms("STOP_DEADLINE_MS");
  config.log_level = observability::parse_level(values.string("LOG_LEVEL"));
  return config;
}

}  // namespace millrace::notifier
