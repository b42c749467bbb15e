#include "admin_commands.hpp"

#include <algorithm>
#include <memory>

#include <CLI/CLI.hpp>

#include <millrace/kafka/admin.hpp>
#include <millrace/kafka/topics.hpp>

#include "command_error.hpp"
#include "format_option.hpp"
#include "text.hpp"

namespace millrace::cli {
namespace {

using std::chrono::milliseconds;

struct TopicsArguments {
  kafka::TopicSettings topics;
  bool dry_run = false;
  bool set_configs = false;
  Format format = Format::kTable;
};

struct Comparison {
  std::vector<kafka::TopicDescription> found;
  std::vector<kafka::TopicDifference> differences;
};

[[noreturn]] void fail(const Settings& settings, const Error& error) { throw kafka_fault(settings, error); }

Comparison compare_now(kafka::Admin& admin, const std::vector<kafka::TopicSpec>& wanted, const Settings& settings) {
  std::vector<std::string> names;
  for (const kafka::TopicSpec& topic : wanted) names.push_back(topic.name);
  auto found = admin.describe(names, settings.timeout);
  if (!found.ok()) fail(settings, found.error());
  Comparison comparison;
  comparison.differences = kafka::compare(wanted, found.value());
  comparison.found = std::move(found).value();
  return comparison;
}

bool is_config(const kafka::TopicDifference& difference) {
  return difference.what != "topic" && difference.what != "partitions" && difference.what != "replication";
}

/// Brings the configs of existing topics to what is wanted; partitions and replication stay as they are.
void set_configs(kafka::Admin& admin, const std::vector<kafka::TopicDifference>& differences, Session& session) {
  for (const kafka::TopicDifference& difference : differences) {
    if (!is_config(difference)) continue;
    const Status set =
        admin.set_configs(difference.topic, {{difference.what, difference.wanted}}, session.settings.timeout);
    if (!set.ok()) fail(session.settings, set.error());
    session.out() << "set " << difference.topic << ' ' << difference.what << " = " << difference.wanted << '\n';
  }
}

std::string state_of(const std::string& topic, const Comparison& now) {
  const auto& all = now.differences;
  const bool missing =
      std::any_of(all.begin(), all.end(), [&](const auto& d) { return d.topic == topic && d.what == "topic"; });
  if (missing) return "missing";
  return std::any_of(all.begin(), all.end(), [&](const auto& d) { return d.topic == topic; }) ? "differs"
                                                                                              : "as configured";
}

void print_table(std::ostream& out, const std::vector<kafka::TopicSpec>& wanted, const Comparison& now) {
  Table topics({"TOPIC", "STATE", "PARTITIONS", "DURABILITY"});
  for (const kafka::TopicSpec& topic : wanted) {
    const auto found =
        std::find_if(now.found.begin(), now.found.end(), [&](const auto& d) { return d.name == topic.name; });
    const bool there = found != now.found.end();
    topics.add({topic.name, state_of(topic.name, now), there ? std::to_string(found->partitions) : "-",
                there ? found->durability() : "-"});
  }
  topics.print(out);
  Table differences({"TOPIC", "WHAT", "CONFIGURED", "IS"});
  for (const kafka::TopicDifference& difference : now.differences) {
    if (difference.what == "topic") continue;
    differences.add(
        {difference.topic, difference.what, difference.wanted, difference.found.empty() ? "-" : difference.found});
  }
  if (differences.empty()) return;
  out << "\nDifferences:\n";
  differences.print(out);
}

void print_json(std::ostream& out, const std::vector<std::string>& created, const Comparison& now) {
  out << "{\"created\":[";
  for (std::size_t i = 0; i < created.size(); ++i) out << (i == 0 ? "" : ",") << json_string(created[i]);
  out << "],\"differences\":[";
  for (std::size_t i = 0; i < now.differences.size(); ++i) {
    const auto& difference = now.differences[i];
    out << (i == 0 ? "" : ",") << "{\"topic\":" << json_string(difference.topic)
        << ",\"what\":" << json_string(difference.what) << ",\"configured\":" << json_string(difference.wanted)
        << ",\"is\":" << json_string(difference.found) << '}';
  }
  out << "]}\n";
}

void topics(Session& session, const TopicsArguments& arguments) {
  const Settings& settings = session.settings;
  const auto wanted = kafka::wanted_topics(kafka::TopicNames{settings.topic_prefix}, arguments.topics);
  kafka::Admin admin({.bootstrap = settings.kafka, .client_id = "millrace-admin", .properties = {}});
  std::vector<std::string> created;
  if (!arguments.dry_run) {
    auto made = admin.create_missing(wanted, settings.timeout);
    if (!made.ok()) fail(settings, made.error());
    created = std::move(made).value();
  }
  Comparison now = compare_now(admin, wanted, settings);
  if (arguments.set_configs && !arguments.dry_run) {
    set_configs(admin, now.differences, session);
    now = compare_now(admin, wanted, settings);
  }
  if (arguments.format == Format::kJson) return print_json(session.out(), created, now);
  for (const std::string& name : created) session.out() << "created " << name << '\n';
  print_table(session.out(), wanted, now);
  const bool fixed = std::any_of(now.differences.begin(), now.differences.end(),
                                 [](const auto& d) { return d.what == "partitions" || d.what == "replication"; });
  if (fixed) {
    session.err()
        << "millrace: partitions and replication of a topic that exists are never changed: the order of a device's "
           "messages depends on them\n";
  }
}

}  // namespace

CommandError kafka_fault(const Settings& settings, const Error& error) {
  std::string next = "name another Kafka with --kafka or MILLRACE_KAFKA";
  if (error.kind == ErrorKind::kNotFound) {
    next =
        "Kafka answers; while it starts or chooses a leader it does not know its partitions: try again in some "
        "seconds. `millrace admin topics --dry-run` shows whether the topic is there";
  } else if (is_retryable(error.kind)) {
    next = "if it runs, try again in some seconds; else start it (`./dev up`, `./dev start kafka`), or " + next;
  }
  return CommandError("Kafka at " + settings.kafka + ": " + error.message, next);
}

void add_admin_commands(CLI::App& app, Session& session) {
  CLI::App* group = add_group(
      app, "admin", "what opens Kafka and the database itself: topics, presence, and the log against what is stored");
  auto arguments = std::make_shared<TopicsArguments>();
  CLI::App* command = add_command(*group, session, "topics",
                                  "create the topics that are missing; show where the others differ (safe to repeat)",
                                  "  millrace admin topics\n"
                                  "  millrace admin topics --dry-run             only look\n"
                                  "  millrace admin topics --set-configs         also set differing configs\n"
                                  "  millrace admin topics --replication 3       on a cluster of three brokers",
                                  [&session, arguments] { topics(session, *arguments); });
  command->add_option("--telemetry-partitions", arguments->topics.telemetry_partitions, "of a new telemetry topic (12)")
      ->check(CLI::Range(1, 10'000).description(""));
  command->add_option("--replication", arguments->topics.replication, "replicas of new topics (1)")
      ->check(CLI::Range(1, 100).description(""));
  command->add_option("--topic-prefix", session.flags.topic_prefix, "prefix of all topics (millrace.)");
  command->add_flag("--dry-run", arguments->dry_run, "change nothing");
  command->add_flag("--set-configs", arguments->set_configs,
                    "set configs that differ; never partitions or replication");
  add_format_option(*command, arguments->format, {"table", "json"});
  add_log_command(*group, session);
  add_presence_command(*group, session);
}

}  // namespace millrace::cli
