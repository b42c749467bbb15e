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

/// Characters of a value in the table.
constexpr std::size_t kMostShown = 100;

struct LatestArguments {
  std::string device;
  std::vector<std::string> metrics;
  std::vector<std::string> wanted;  // with --all
  bool all = false;
  Format format = Format::kTable;
};

void print_json(std::ostream& out, const std::string& device, const api::LatestResponse& answer) {
  out << "{\"device\":" << json_string(device) << ",\"as_of\":" << json_string(format_rfc3339(answer.as_of_us()))
      << ",\"latest\":[";
  for (int i = 0; i < answer.entries_size(); ++i) {
    const auto& entry = answer.entries(i);
    out << (i == 0 ? "" : ",") << "\n{\"metric\":" << json_string(entry.metric())
        << ",\"time\":" << json_string(format_rfc3339(entry.time_us())) << ",\"value\":" << value_json(entry.value())
        << '}';
  }
  out << "]}\n";
}

/// Of every device; lines are written as pages arrive, a table at the end.
void show_all(Session& session, const LatestArguments& arguments) {
  Client<api::QueryService> query(session.settings, Target::kQuery);
  api::LatestRequest request;
  request.set_tenant(session.settings.tenant);
  request.set_page_size(10'000);
  for (const auto& metric : arguments.wanted) request.add_metrics(metric);
  std::ostream& out = session.out();
  Table table({"DEVICE", "METRIC", "TIME", "VALUE"});
  do {
    const auto page = query.call(&api::QueryService::StubInterface::Latest, request);
    for (const auto& entry : page.entries()) {
      const std::string time = format_rfc3339(entry.time_us());
      if (arguments.format == Format::kTable) {
        table.add({entry.device(), printable(entry.metric()), time,
                   printable(shortened(value_text(entry.value()), kMostShown))});
      } else if (arguments.format == Format::kCsv) {
        out << entry.device() << ',' << csv_field(entry.metric()) << ',' << time << ','
            << csv_field(value_text(entry.value())) << '\n';
      } else {
        out << "{\"device\":" << json_string(entry.device()) << ",\"metric\":" << json_string(entry.metric())
            << ",\"time\":" << json_string(time) << ",\"value\":" << value_json(entry.value()) << "}\n";
      }
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  if (arguments.format == Format::kTable) table.print(out);
}

void show_latest(Session& session, const LatestArguments& arguments) {
  if (arguments.all) return show_all(session, arguments);
  if (arguments.device.empty()) throw usage_error("a DEVICE is wanted, or --all");
  Client<api::QueryService> query(session.settings, Target::kQuery);
  api::LatestRequest request;
  request.set_tenant(session.settings.tenant);
  request.set_device(arguments.device);
  for (const auto& metric : arguments.metrics) request.add_metrics(metric);
  const auto answer = query.call(&api::QueryService::StubInterface::Latest, request,
                                 "`millrace device list` shows the devices; one that never sent has no values");
  std::ostream& out = session.out();
  if (arguments.format == Format::kJson) return print_json(out, arguments.device, answer);
  if (arguments.format == Format::kCsv) {
    for (const auto& entry : answer.entries()) {
      out << csv_field(entry.metric()) << ',' << format_rfc3339(entry.time_us()) << ','
          << csv_field(value_text(entry.value())) << '\n';
    }
    return;
  }
  Table table({"METRIC", "TIME", "VALUE"});
  for (const auto& entry : answer.entries()) {
    table.add({printable(entry.metric()), format_rfc3339(entry.time_us()),
               printable(shortened(value_text(entry.value()), kMostShown))});
  }
  table.print(out);
  if (table.empty()) out << "nothing stored yet\n";
  if (answer.as_of_us() != 0) out << "as of " << format_rfc3339(answer.as_of_us()) << '\n';
}

}  // namespace

void add_latest_command(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<LatestArguments>();
  CLI::App* command = add_command(
      app, session, "latest", "the newest value of each metric of a device",
      "  millrace latest meter-1\n"
      "  millrace latest meter-1 power voltage --json\n"
      "  millrace latest --all --metric power --format csv\n"
      "CSV lines are metric,time,value; with --all device,metric,time,value, and JSON is one object a line.\n"
      "The table shows the first 100 characters of a value; --json and --format csv all.",
      [&session, arguments] { show_latest(session, *arguments); });
  CLI::Option* device = command->add_option("DEVICE", arguments->device, "its id");
  command->add_option("METRIC", arguments->metrics, "only these");
  CLI::Option* all = command->add_flag("--all", arguments->all, "of all devices of the tenant")->excludes(device);
  command->add_option("--metric", arguments->wanted, "with --all: only these; may be repeated")->needs(all);
  add_format_option(*command, arguments->format, {"table", "csv", "json"});
}

}  // namespace millrace::cli
