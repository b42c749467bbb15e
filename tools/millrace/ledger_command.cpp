#include <memory>

#include <CLI/CLI.hpp>

#include <millrace/base/time.hpp>

#include "client.hpp"
#include "command_error.hpp"
#include "command_line.hpp"
#include "format_option.hpp"
#include "millrace/query/v1/query.grpc.pb.h"
#include "text.hpp"

namespace millrace::cli {
namespace {

namespace api = query::v1;
using Query = Client<api::QueryService>;

constexpr int kExitMissing = 6;

struct LedgerArguments {
  std::string device;
  std::string from;
  std::string to;
  bool hours = false;
  Format format = Format::kTable;
};

/// The sums over all partitions and hours.
struct Sums {
  std::int64_t acknowledged = 0;
  std::int64_t records = 0;
  std::int64_t copies = 0;
  std::int64_t dead_records = 0;
  std::int64_t points = 0;
  std::int64_t inserted = 0;
  std::int64_t replaced = 0;
  std::int64_t dead_points = 0;
  std::int64_t pending = 0;
  std::int64_t missing = 0;
  std::int64_t without_log = 0;  // hours whose log is gone
  std::int64_t in_log = 0;       // of the others
  std::int64_t refused = 0;

  void add(const api::LedgerHour& hour) {
    acknowledged += hour.acknowledged();
    records += hour.records();
    copies += hour.copies();
    dead_records += hour.dead_records();
    points += hour.points();
    inserted += hour.inserted();
    replaced += hour.replaced();
    dead_points += hour.dead_points();
    pending += hour.pending();
    missing += hour.missing();
    in_log += hour.in_log();
    without_log += hour.has_in_log() ? 0 : 1;
  }
};

std::string member(const char* name, std::int64_t value) {
  return ",\"" + std::string(name) + "\":" + std::to_string(value);
}

std::string json_of(const api::LedgerHour& hour) {
  return "{\"hour\":\"" + format_rfc3339(hour.hour_us()) + "\"" + member("partition", hour.partition()) +
         member("generation", hour.generation()) + member("acknowledged", hour.acknowledged()) +
         ",\"in_log\":" + (hour.has_in_log() ? std::to_string(hour.in_log()) : "null") +
         member("records", hour.records()) + member("copies", hour.copies()) +
         member("dead_records", hour.dead_records()) + member("points", hour.points()) +
         member("inserted", hour.inserted()) + member("replaced", hour.replaced()) +
         member("dead_points", hour.dead_points()) + member("pending", hour.pending()) +
         member("missing", hour.missing()) + "}";
}

void print(std::ostream& out, const Sums& sums) {
  const auto line = [&out](const char* name, std::int64_t value, const char* what) {
    out << padded(name, 14) << padded(std::to_string(value), 14) << what << '\n';
  };
  line("acknowledged", sums.acknowledged, "messages that gateways answered from the delivery report");
  line("in the log", sums.in_log, "records, where the log still holds their hour");
  line("accounted for", sums.records, "records, in the transactions that stored them");
  line("  copies", sums.copies, "of these, repeats of a message");
  line("  dead", sums.dead_records, "of these, could not be read at all");
  line("pending", sums.pending, "records that the writer has not read yet");
  line("missing", sums.missing, "records: should be 0");
  line("points", sums.points, "in the records that are neither copies nor dead");
  line("  inserted", sums.inserted, "became rows");
  line("  replaced", sums.replaced, "gave a row another value");
  line("  dead", sums.dead_points, "could not be stored");
  line("  repeated", sums.points - sums.inserted - sums.replaced - sums.dead_points, "said what was stored already");
  line("refused", sums.refused, "payloads, kept as dead letters: not in the log, and not missing");
  if (sums.without_log > 0)
    out << sums.without_log << " hours of partitions are older than the log: their rows answer alone\n";
}

api::GetLedgerRequest request_of(const LedgerArguments& arguments) {
  constexpr std::int64_t kDay = 86'400 * kUsPerSecond;
  const TimeUs now = now_us();
  const TimeUs to = arguments.to.empty() ? now : parse_time_argument("--to", arguments.to, now);
  const TimeUs from = arguments.from.empty() ? to - kDay : parse_time_argument("--from", arguments.from, now);
  if (from >= to) throw usage_error("--from " + format_rfc3339(from) + " is not before --to " + format_rfc3339(to));
  api::GetLedgerRequest request;
  request.set_from_us(from);
  request.set_to_us(to);
  return request;
}

Table table_of_hours() {
  return Table({"HOUR", "PARTITION", "ACKNOWLEDGED", "IN LOG", "ACCOUNTED", "COPIES", "DEAD", "POINTS", "INSERTED",
                "REPLACED", "PENDING", "MISSING"});
}

void add(Table& table, const api::LedgerHour& hour) {
  const std::string generation = hour.generation() == 0 ? "" : "." + std::to_string(hour.generation());
  table.add({format_rfc3339(hour.hour_us()), std::to_string(hour.partition()) + generation,
             std::to_string(hour.acknowledged()), hour.has_in_log() ? std::to_string(hour.in_log()) : "gone",
             std::to_string(hour.records()), std::to_string(hour.copies()), std::to_string(hour.dead_records()),
             std::to_string(hour.points()), std::to_string(hour.inserted()), std::to_string(hour.replaced()),
             std::to_string(hour.pending()), std::to_string(hour.missing())});
}

void show_hours(Session& session, const LedgerArguments& arguments) {
  Query query(session.settings, Target::kQuery);
  api::GetLedgerRequest request = request_of(arguments);
  Sums sums;
  Table table = table_of_hours();
  std::string json;
  do {
    const auto page = query.call(&api::QueryService::StubInterface::GetLedger, request,
                                 "`millrace ledger --device ID` is for a tenant's key");
    for (const api::LedgerRefused& hour : page.refused()) sums.refused += hour.kept();
    for (const api::LedgerHour& hour : page.hours()) {
      sums.add(hour);
      if (arguments.format == Format::kJson) json += (json.empty() ? "" : ",\n") + json_of(hour);
      if (arguments.hours) add(table, hour);
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  if (arguments.format == Format::kJson) {
    session.out() << "{\"hours\":[" << json << "]" << member("missing", sums.missing) << member("refused", sums.refused)
                  << "}\n";
  } else {
    if (arguments.hours) table.print(session.out());
    print(session.out(), sums);
  }
  if (sums.missing > 0) session.exit_code = kExitMissing;
}

void show_device(Session& session, const LedgerArguments& arguments) {
  Query query(session.settings, Target::kQuery);
  api::GetLedgerRequest request = request_of(arguments);
  request.set_tenant(session.settings.tenant);
  request.set_device(arguments.device);
  const auto answer =
      query.call(&api::QueryService::StubInterface::GetLedger, request, "`millrace device list` shows the devices");
  const api::LedgerDevice& device = answer.device();
  if (arguments.format == Format::kJson) {
    session.out() << "{\"device\":" << json_string(arguments.device) << member("partition", device.partition())
                  << member("in_log", device.in_log()) << member("pending", device.pending())
                  << member("stored", device.stored()) << member("copies", device.copies())
                  << member("dead_records", device.dead_records()) << member("points", device.points())
                  << member("dead_points", device.dead_points()) << member("log_begins_us", device.log_begins_us())
                  << member("continue_from_us", device.continue_from_us()) << "}\n";
    return;
  }
  std::ostream& out = session.out();
  out << "messages in the log  " << device.in_log() << "\n  stored             " << device.stored()
      << "\n  copies             " << device.copies() << "\n  dead               " << device.dead_records()
      << "\n  pending            " << device.pending() << "\npoints               " << device.points()
      << "\n  dead               " << device.dead_points() << '\n';
  if (device.log_begins_us() != 0)
    out << "the log begins at " << format_rfc3339(device.log_begins_us()) << ": what was before is not counted\n";
  if (device.continue_from_us() != 0)
    out << "only a part was read; go on with --from " << format_rfc3339(device.continue_from_us()) << '\n';
}

}  // namespace

void add_ledger_command(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<LedgerArguments>();
  CLI::App* ledger =
      add_command(app, session, "ledger", "what was acknowledged, what is in the log, what became of it",
                  "  millrace ledger --from 2h\n"
                  "  millrace ledger --hours --from 2026-01-01T00:00:00Z --to 2026-01-02T00:00:00Z\n"
                  "  millrace ledger --device meter-1 --from 1h\n"
                  "Without a device it needs a key of the platform. The exit code is 6 where something is missing.",
                  [&session, arguments] {
                    arguments->device.empty() ? show_hours(session, *arguments) : show_device(session, *arguments);
                  });
  ledger->add_option("--device", arguments->device, "the messages of this device, counted in the log");
  ledger->add_option("--from", arguments->from,
                     "since then: RFC 3339, a date, or how long ago: 15m, 1h, 2d (1d before --to)");
  ledger->add_option("--to", arguments->to, "until then, the same forms (now)");
  ledger->add_flag("--hours", arguments->hours, "a line for each partition and hour, too");
  add_format_option(*ledger, arguments->format, {"table", "json"});
}

}  // namespace millrace::cli
