// `millrace admin log`: what storage and log say of each partition, and the operator's decision where they disagree.
#include <algorithm>
#include <chrono>
#include <map>
#include <memory>

#include <CLI/CLI.hpp>

#include <millrace/kafka/consumer.hpp>
#include <millrace/kafka/topics.hpp>
#include <millrace/postgres/connection.hpp>
#include <millrace/storage_schema/log_position.hpp>
#include <millrace/storage_schema/statements.hpp>

#include "admin_commands.hpp"
#include "checks.hpp"
#include "command_error.hpp"
#include "format_option.hpp"
#include "text.hpp"

namespace millrace::cli {
namespace {

using postgres::Params;
using std::chrono::steady_clock;
using storage_schema::LogBreak;
using storage_schema::LogEvidence;
using storage_schema::OffsetRow;

struct LogArguments {
  std::optional<std::int32_t> partition;
  std::string reason;
  std::optional<std::int64_t> resume;
  Format format = Format::kTable;
};

/// One partition as the database and the log see it.
struct Finding {
  std::int32_t partition = 0;
  OffsetRow row;
  LogEvidence evidence;
  std::optional<LogBreak> plan;  ///< nothing: they agree
};

CommandError database_fault(const Error& error) {
  return CommandError("the database: " + error.message,
                      "name it with MILLRACE_DATABASE_URL; deciding needs the rights of storage-writer's role");
}

std::unique_ptr<postgres::Connection> connect(const Settings& settings) {
  if (settings.database_url.empty())
    throw usage_error("no database is named", "set MILLRACE_DATABASE_URL (`./dev env` prints it)");
  postgres::ConnectOptions options;
  options.url = settings.database_url;
  options.application_name = "millrace-admin";
  options.connect_timeout = options.call_timeout = settings.timeout;
  auto opened = postgres::Connection::open(options);
  if (!opened) throw database_fault(opened.error());
  return std::move(*opened);
}

/// Reads the log around the positions.
class LogLooker {
 public:
  LogLooker(const Settings& settings, std::string topic)
      : settings_(settings),
        topic_(std::move(topic)),
        consumer_({.bootstrap = settings.kafka, .client_id = "millrace-admin", .properties = {}}, options()) {
    auto cluster = consumer_.cluster_id(settings_.timeout);
    if (!cluster.ok()) throw kafka_fault(settings_, cluster.error());
    cluster_ = *std::move(cluster);
  }

  [[nodiscard]] const std::string& cluster() const { return cluster_; }

  LogEvidence look(std::int32_t partition, const OffsetRow& row) {
    const kafka::TopicPartition where{topic_, partition};
    LogEvidence evidence;
    const auto marks = consumer_.watermarks(where, settings_.timeout);
    if (!marks.ok()) throw kafka_fault(settings_, marks.error());
    evidence.log = *marks;
    evidence.same_cluster = row.cluster_id == cluster_;
    // Kafka keeps milliseconds.
    const auto newer = consumer_.offsets_at({&where, 1}, row.log_time + 1'000, settings_.timeout);
    if (!newer.ok()) throw kafka_fault(settings_, newer.error());
    if (const std::int64_t offset = newer->front().offset; offset >= 0) evidence.first_newer = offset;
    if (marks->low < marks->high && row.next_offset <= marks->high) read_around(where, row, evidence);
    return evidence;
  }

 private:
  static kafka::ConsumerOptions options() {
    kafka::ConsumerOptions options;
    options.isolation = kafka::Isolation::kReadUncommitted;  // `telemetry` is never transactional
    return options;
  }

  // The record before the position, and the first one from there on.
  void read_around(const kafka::TopicPartition& where, const OffsetRow& row, LogEvidence& evidence) {
    const kafka::Position from{where, std::max(evidence.log.low, row.next_offset - 1)};
    if (from.offset >= evidence.log.high) return;
    if (const Status assigned = consumer_.assign({&from, 1}); !assigned) throw kafka_fault(settings_, assigned.error());
    const auto deadline = steady_clock::now() + settings_.timeout;
    while (true) {
      const kafka::Polled polled = consumer_.poll(std::chrono::milliseconds{100});
      if (polled.kind == kafka::Polled::Kind::kEndOfPartition && polled.position.where == where) return;
      if (polled.kind == kafka::Polled::Kind::kRecord && polled.record.partition() == where.partition) {
        if (polled.record.offset() >= row.next_offset) {
          evidence.at_position = polled.record.offset();
          return;
        }
        compare(polled.record, row, evidence);
      }
      if (steady_clock::now() > deadline)
        throw kafka_fault(settings_, {ErrorKind::kUnavailable, "gives no records of " + where.topic});
    }
  }

  static void compare(const kafka::Record& record, const OffsetRow& row, LogEvidence& evidence) {
    telemetry::Batch facts;
    if (!telemetry::decode_facts(record.value(), facts)) facts = {};
    const bool same = !row.last || storage_schema::mark_of(record.value(), facts) == *row.last;
    evidence.before = same ? LogEvidence::Before::kSame : LogEvidence::Before::kOther;
  }

  const Settings& settings_;
  std::string topic_;
  std::string cluster_;
  kafka::Consumer consumer_;
};

std::string in_words(const Finding& finding) {
  if (!finding.plan) return "fits";
  const LogBreak& plan = *finding.plan;
  if (!finding.evidence.same_cluster && !plan.replaced()) return "the same log in another cluster";
  if (!finding.evidence.same_cluster) return "another cluster with another log";
  if (plan.replaced()) return "the log was cut or replaced at " + std::to_string(plan.resume) + " or behind it";
  return "records " + std::to_string(plan.lost_from) + " to " + std::to_string(plan.lost_to - 1) +
         " are gone and were never stored";
}

std::string plan_text(const LogBreak& plan) {
  std::string text = "generation " + std::to_string(plan.generation + 1) + " begins at " + std::to_string(plan.resume);
  if (plan.replaced()) {
    text += "; of generation " + std::to_string(plan.generation) + ", what was acknowledged from " +
            std::to_string(plan.lost_from) + " on is lost";
  } else if (plan.lost_to > plan.lost_from) {
    text += "; the records " + std::to_string(plan.lost_from) + " to " + std::to_string(plan.lost_to - 1) + " are lost";
  } else {
    text += "; nothing is lost";
  }
  return text;
}

std::vector<Finding> find_all(const Settings& settings, LogLooker& log, postgres::Connection& database,
                              const std::string& topic, std::optional<std::int32_t> only) {
  auto rows = storage_schema::read_offset_rows(database, topic);
  if (!rows) throw database_fault(rows.error());
  std::vector<Finding> findings;
  for (auto& [partition, row] : *rows) {
    if (only && *only != partition) continue;
    LogEvidence evidence = log.look(partition, row);
    auto plan = storage_schema::plan_break(row, evidence);
    findings.push_back({partition, std::move(row), evidence, std::move(plan)});
  }
  if (only && findings.empty()) {
    throw CommandError("storage-writer has never taken partition " + std::to_string(*only) + " of " + topic,
                       "`millrace admin log` lists the ones it has; --topic-prefix names another installation (" +
                           settings.topic_prefix + ")");
  }
  return findings;
}

void print(Session& session, const std::vector<Finding>& findings, Format format) {
  if (format == Format::kJson) {
    session.out() << "{\"partitions\":[";
    for (std::size_t i = 0; i < findings.size(); ++i) {
      const Finding& one = findings[i];
      session.out() << (i == 0 ? "" : ",") << "{\"partition\":" << one.partition
                    << ",\"generation\":" << one.row.generation << ",\"next_offset\":" << one.row.next_offset
                    << ",\"log_low\":" << one.evidence.log.low << ",\"log_high\":" << one.evidence.log.high
                    << ",\"fits\":" << (one.plan ? "false" : "true") << ",\"state\":" << json_string(in_words(one));
      if (one.plan) session.out() << ",\"resume\":" << one.plan->resume;
      session.out() << '}';
    }
    session.out() << "]}\n";
    return;
  }
  Table table({"PARTITION", "GENERATION", "STORED BELOW", "LOG FROM", "LOG END", "STATE"});
  for (const Finding& one : findings) {
    table.add({std::to_string(one.partition), std::to_string(one.row.generation), std::to_string(one.row.next_offset),
               std::to_string(one.evidence.log.low), std::to_string(one.evidence.log.high), in_words(one)});
  }
  table.print(session.out());
  for (const Finding& one : findings) {
    if (!one.plan) continue;
    session.out() << "\npartition " << one.partition << " can go on so: " << plan_text(*one.plan) << ".\n"
                  << "If the log can be restored, restore it. Else decide:\n"
                  << "  millrace admin log --partition " << one.partition << " --accept \"why it came to this\"\n";
  }
}

/// Both or neither: the break and the new position; the row must still be the one that was looked at.
void decide(postgres::Connection& database, const std::string& topic, const Finding& finding, const LogBreak& plan,
            const std::string& cluster) {
  const auto check = [](const auto& done) {
    if (!done) throw database_fault(done.error());
  };
  auto transaction = postgres::Transaction::begin(database);
  check(transaction);
  auto moved = database.exec(
      "UPDATE storage.ingest_offset SET generation = generation + 1, next_offset = $5::int8, latest_offset = $5::int8,"
      " cluster_id = $6, last_start = NULL, last_counter = NULL, last_crc = NULL, updated_at = now()"
      " WHERE topic = $1 AND part = $2::int4 AND generation = $3::int4 AND next_offset = $4::int8",
      Params{}
          .text(topic)
          .integer(finding.partition)
          .integer(plan.generation)
          .integer(finding.row.next_offset)
          .integer(plan.resume)
          .text(cluster));
  check(moved);
  if (moved->affected() != 1) throw CommandError("the partition's position has changed meanwhile", "look again");
  check(
      database.exec("INSERT INTO storage.log_break (part, generation, from_offset, to_offset, resume_offset, reason)"
                    " VALUES ($1::int4, $2::int4, $3::int8, $4::int8, $5::int8, $6)",
                    Params{}
                        .integer(finding.partition)
                        .integer(plan.generation)
                        .integer(plan.lost_from)
                        .integer(plan.lost_to)
                        .integer(plan.resume)
                        .text(plan.reason)));
  // What `latest` lacks would have been learned from the log, which does not have it any more: the rows themselves
  // tell.
  if (finding.row.latest_offset < finding.row.next_offset) check(database.script(storage_schema::sql::kRebuildLatest));
  check(transaction->commit());
}

void log(Session& session, const LogArguments& arguments) {
  const Settings& settings = session.settings;
  const bool deciding = !arguments.reason.empty();
  if (deciding && !arguments.partition) throw usage_error("--accept needs --partition", "decide one at a time");
  if (arguments.resume && !deciding) throw usage_error("--resume goes with --accept");
  const std::string topic = kafka::TopicNames{settings.topic_prefix}.telemetry();
  const auto database = connect(settings);
  LogLooker looker(settings, topic);
  const std::vector<Finding> findings = find_all(settings, looker, *database, topic, arguments.partition);
  if (!deciding) {
    print(session, findings, arguments.format);
    const bool fits =
        std::none_of(findings.begin(), findings.end(), [](const Finding& f) { return f.plan.has_value(); });
    if (!fits) throw CommandError("storage and log do not fit", "see above");
    return;
  }
  const Finding& finding = findings.front();
  if (!finding.plan) throw CommandError("partition " + std::to_string(finding.partition) + " fits: nothing to decide");
  LogBreak plan = *finding.plan;
  plan.reason = arguments.reason;
  if (arguments.resume) {
    const kafka::Watermarks& marks = finding.evidence.log;
    if (*arguments.resume < marks.low || *arguments.resume > marks.high)
      throw usage_error("--resume must be within the log: " + std::to_string(marks.low) + " to " +
                        std::to_string(marks.high));
    plan.resume = *arguments.resume;
    if (!plan.replaced()) plan.lost_to = std::max(plan.lost_from, plan.resume);
  }
  decide(*database, topic, finding, plan, looker.cluster());
  session.out() << "partition " << finding.partition << ": " << plan_text(plan)
                << "; storage-writer goes on by itself\n";
}

}  // namespace

void add_log_command(CLI::App& group, Session& session) {
  auto arguments = std::make_shared<LogArguments>();
  CLI::App* command = add_command(
      group, session, "log",
      "compare what is stored with the log of telemetry; decide how to go on where the log was cut or replaced",
      "  millrace admin log                        every partition; exit code 1 where one does not fit\n"
      "  millrace admin log --partition 3 --accept \"disk of broker 2 died\"\n"
      "MILLRACE_DATABASE_URL names the database. --accept needs the role that owns the schema storage, the one of "
      "storage-writer; to look, a role that may read is enough.",
      [&session, arguments] { log(session, *arguments); });
  command->add_option("--partition", arguments->partition, "only this one")->check(at_least(0));
  command->add_option("--accept", arguments->reason,
                      "begin a new generation of the partition; the reason is kept and shown with its receipts");
  command->add_option("--resume", arguments->resume, "with --accept: begin at this offset instead of the proposed one");
  command->add_option("--topic-prefix", session.flags.topic_prefix, "prefix of all topics (millrace.)");
  add_format_option(*command, arguments->format, {"table", "json"});
}

}  // namespace millrace::cli
