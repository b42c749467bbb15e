#include <memory>

#include <CLI/CLI.hpp>

#include <millrace/base/time.hpp>

#include "client.hpp"
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

void show_latest(Session& session, const LatestArguments& arguments) {
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
  CLI::App* command =
      add_command(app, session, "latest", "the newest value of each metric of a device",
                  "  millrace latest meter-1\n"
                  "  millrace latest meter-1 power voltage --json\n"
                  "CSV lines are metric,time,value. The table shows the first 100 characters of a value; "
                  "--json and --format csv all.",
                  [&session, arguments] { show_latest(session, *arguments); });
  command->add_option("DEVICE", arguments->device, "its id")->required();
  command->add_option("METRIC", arguments->metrics, "only these");
  add_format_option(*command, arguments->format, {"table", "csv", "json"});
}

}  // namespace millrace::cli
