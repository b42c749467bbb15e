#include <algorithm>
#include <memory>

#include <CLI/CLI.hpp>

#include <millrace/base/time.hpp>

#include "checks.hpp"
#include "client.hpp"
#include "command_error.hpp"
#include "command_line.hpp"
#include "format_option.hpp"
#include "millrace/query/v1/query.grpc.pb.h"
#include "text.hpp"

namespace millrace::cli {
namespace {

namespace api = query::v1;

struct WindowsArguments {
  std::string device;
  std::string metric;
  std::string from;
  std::string to;
  std::int64_t limit = 0;
  bool header = false;
  Format format = Format::kTable;
};

void begin(std::ostream& out, const WindowsArguments& arguments) {
  if (arguments.format == Format::kTable) {
    out << padded("START", 28) << padded("SIZE", 10) << padded("COUNT", 10) << padded("MIN", 22) << padded("MAX", 22)
        << padded("MEAN", 22) << "LAST\n";
  }
  if (arguments.format == Format::kCsv && arguments.header) out << "start,count,min,max,mean,last\n";
  if (arguments.format == Format::kJson) {
    out << "{\"device\":" << json_string(arguments.device) << ",\"metric\":" << json_string(arguments.metric)
        << ",\"windows\":[";
  }
}

const char* json_bool(bool value) { return value ? "true" : "false"; }  // NOLINT: the value, not a mode

std::string json_of(const stream::v1::WindowResult& window) {
  return "{\"start\":\"" + format_rfc3339(window.start_us()) + "\",\"size_us\":" + std::to_string(window.size_us()) +
         ",\"revision\":" + std::to_string(window.revision()) + ",\"final\":" + json_bool(window.final()) +
         ",\"count\":" + std::to_string(window.count()) + ",\"min\":" + number_json(window.min()) +
         ",\"max\":" + number_json(window.max()) + ",\"mean\":" + number_json(window.mean()) +
         ",\"last\":" + number_json(window.last()) + ",\"last_time\":\"" + format_rfc3339(window.last_time_us()) +
         "\",\"approximate\":" + json_bool(window.approximate()) + '}';
}

void print(std::ostream& out, const stream::v1::WindowResult& window, Format format, bool is_first) {
  const std::string start = format_rfc3339(window.start_us());
  const std::string count = std::to_string(window.count());
  const auto number = [format](double value) {
    return format == Format::kTable ? rounded_text(value) : number_text(value);
  };
  const std::string min = number(window.min());
  const std::string max = number(window.max());
  const std::string mean = number(window.mean());
  const std::string last = number(window.last());
  if (format == Format::kCsv) {
    out << start << ',' << count << ',' << min << ',' << max << ',' << mean << ',' << last << '\n';
  } else if (format == Format::kJson) {
    out << (is_first ? "\n" : ",\n") << json_of(window);
  } else {
    out << padded(start, 28) << padded(duration_text(window.size_us()), 10) << padded(count, 10) << padded(min, 22)
        << padded(max, 22) << padded(mean, 22) << last << '\n';
  }
}

api::ListWindowsRequest request_of(const Session& session, const WindowsArguments& arguments) {
  constexpr std::int64_t kDay = 86'400 * kUsPerSecond;
  constexpr std::int32_t kMostPerPage = 10'000;
  const TimeUs now = now_us();
  const TimeUs to = arguments.to.empty() ? now : parse_time_argument("--to", arguments.to, now);
  const TimeUs from = arguments.from.empty() ? to - kDay : parse_time_argument("--from", arguments.from, now);
  if (from >= to) throw usage_error("--from " + format_rfc3339(from) + " is not before --to " + format_rfc3339(to));
  api::ListWindowsRequest request;
  request.set_tenant(session.settings.tenant);
  request.set_device(arguments.device);
  request.set_metric(arguments.metric);
  request.set_from_us(from);
  request.set_to_us(to);
  request.set_page_size(arguments.limit > 0
                            ? static_cast<std::int32_t>(std::min<std::int64_t>(arguments.limit, kMostPerPage))
                            : kMostPerPage);
  return request;
}

// Rows are written as pages arrive, so that any stretch needs the memory of one page.
void show_windows(Session& session, const WindowsArguments& arguments) {
  api::ListWindowsRequest request = request_of(session, arguments);
  Client<api::QueryService> query(session.settings, Target::kQuery);
  std::int64_t count = 0;
  do {
    const auto page =
        query.call(&api::QueryService::StubInterface::ListWindows, request,
                   "`millrace latest DEVICE` shows a device's metrics, `millrace device list` the devices");
    // After the first answer: an error leaves no heading behind.
    if (request.page_token().empty()) begin(session.out(), arguments);
    for (const auto& window : page.windows()) {
      if (arguments.limit > 0 && count == arguments.limit) break;
      print(session.out(), window, arguments.format, count++ == 0);
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty() && (arguments.limit == 0 || count < arguments.limit));
  if (arguments.format == Format::kJson) session.out() << "]}\n";
  if (arguments.format == Format::kTable && count == 0) session.out() << "no windows in this range\n";
}

}  // namespace

void add_windows_command(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<WindowsArguments>();
  CLI::App* command = add_command(
      app, session, "windows", "count, min, max, mean and last of one metric by window; the last day",
      "  millrace windows meter-1 power\n"
      "  millrace windows meter-1 power --from 2026-11-22T00:00:00Z --to 2026-11-23T00:00:00Z --format csv\n"
      "CSV lines are start,count,min,max,mean,last, and exact; a table is rounded to six decimals. Windows that start "
      "at --from are included, at --to not.",
      [&session, arguments] { show_windows(session, *arguments); });
  command->add_option("DEVICE", arguments->device, "its id")->required();
  command->add_option("METRIC", arguments->metric, "the metric's name")->required();
  command->add_option("--from", arguments->from, "RFC 3339, a date, or how long ago: 15m, 1h, 2d (1d before --to)");
  command->add_option("--to", arguments->to, "the same forms (now)");
  command->add_option("--limit", arguments->limit, "at most so many rows")->check(at_least(1));
  command->add_flag("--header", arguments->header, "a first CSV line that names the columns");
  add_format_option(*command, arguments->format, {"table", "csv", "json"});
}

}  // namespace millrace::cli
