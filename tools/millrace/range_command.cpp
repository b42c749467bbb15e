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
#include "plot.hpp"
#include "text.hpp"

namespace millrace::cli {
namespace {

namespace api = query::v1;

struct RangeArguments {
  std::string device;
  std::string metric;
  std::string from;
  std::string to;
  std::string step;
  std::int32_t points = 0;
  bool lttb = false;
  std::int64_t limit = 0;

  [[nodiscard]] bool in_buckets() const { return !step.empty() || (points != 0 && !lttb); }
  bool header = false;
  Format format = Format::kTable;
};

/// Writes rows as pages arrive, so that a range of any length needs the memory of one page.
class Rows {
 public:
  Rows(std::ostream& out, const RangeArguments& arguments) : out_(out), arguments_(arguments) {}

  void begin(std::string_view columns, std::string_view csv_columns) {
    if (arguments_.format == Format::kTable) out_ << columns << '\n';
    if (arguments_.format == Format::kCsv && arguments_.header) out_ << csv_columns << '\n';
    if (arguments_.format == Format::kJson) {
      out_ << "{\"device\":" << json_string(arguments_.device) << ",\"metric\":" << json_string(arguments_.metric)
           << ",\"" << (arguments_.in_buckets() ? "buckets" : "samples") << "\":[";
    }
  }

  void add(const api::RangeResponse::Sample& sample) {
    const std::string time = format_rfc3339(sample.time_us());
    if (arguments_.format == Format::kCsv) {
      out_ << time << ',' << csv_field(value_text(sample.value())) << '\n';
    } else if (arguments_.format == Format::kJson) {
      out_ << (count_ == 0 ? "\n" : ",\n") << "{\"time\":\"" << time << "\",\"value\":" << value_json(sample.value());
      if (sample.untimed()) out_ << ",\"untimed\":true";
      out_ << '}';
    } else {
      out_ << padded(time, 28) << printable(value_text(sample.value())) << '\n';
    }
    ++count_;
  }

  void add(const api::RangeResponse::Bucket& bucket) {
    const std::string time = format_rfc3339(bucket.time_us());
    const std::string count = std::to_string(bucket.count());
    const auto number = arguments_.format == Format::kTable ? rounded_text : number_text;
    const std::string min = number(bucket.min());
    const std::string max = number(bucket.max());
    const std::string mean = number(bucket.mean());
    if (arguments_.format == Format::kCsv) {
      out_ << time << ',' << count << ',' << min << ',' << max << ',' << mean << '\n';
    } else if (arguments_.format == Format::kJson) {
      out_ << (count_ == 0 ? "\n" : ",\n") << "{\"time\":\"" << time << "\",\"count\":" << count << ",\"min\":" << min
           << ",\"max\":" << max << ",\"mean\":" << mean << '}';
    } else {
      out_ << padded(time, 28) << padded(count, 10) << padded(min, 22) << padded(max, 22) << mean << '\n';
    }
    ++count_;
  }

  void end() {
    if (arguments_.format == Format::kJson) out_ << "]}\n";
    if (arguments_.format != Format::kTable || count_ != 0) return;
    out_ << (arguments_.in_buckets() ? "no numbers in this range\n" : "nothing stored in this range\n");
  }

  [[nodiscard]] std::int64_t count() const { return count_; }

 private:
  std::ostream& out_;
  const RangeArguments& arguments_;
  std::int64_t count_ = 0;
};

/// Calls `row` for each sample or bucket, page after page, until there is no more or it returns false.
template <class Row>
void each_row(Session& session, api::RangeRequest& request, Row row) {
  Client<api::QueryService> query(session.settings, Target::kQuery);
  do {
    const auto page =
        query.call(&api::QueryService::StubInterface::Range, request,
                   "`millrace latest DEVICE` shows a device's metrics, `millrace device list` the devices");
    for (const auto& sample : page.samples()) {
      if (!row(sample)) return;
    }
    for (const auto& bucket : page.buckets()) {
      if (!row(bucket)) return;
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
}

api::RangeRequest request_of(const Session& session, const RangeArguments& arguments) {
  constexpr std::int64_t kHour = 3'600 * kUsPerSecond;
  constexpr std::int32_t kMostPerPage = 10'000;
  const TimeUs now = now_us();
  const TimeUs to = arguments.to.empty() ? now : parse_time_argument("--to", arguments.to, now);
  const TimeUs from = arguments.from.empty() ? to - kHour : parse_time_argument("--from", arguments.from, now);
  if (from >= to) throw usage_error("--from " + format_rfc3339(from) + " is not before --to " + format_rfc3339(to));
  api::RangeRequest request;
  request.set_tenant(session.settings.tenant);
  request.set_device(arguments.device);
  request.set_metric(arguments.metric);
  request.set_from_us(from);
  request.set_to_us(to);
  if (arguments.points != 0) {
    request.set_points(arguments.points);
    if (arguments.lttb) request.set_downsampling(api::DOWNSAMPLING_LTTB);
    return request;
  }
  request.set_page_size(arguments.limit > 0
                            ? static_cast<std::int32_t>(std::min<std::int64_t>(arguments.limit, kMostPerPage))
                            : kMostPerPage);
  if (!arguments.step.empty()) request.set_step_us(parse_duration_us("--step", arguments.step));
  return request;
}

void plot_range(Session& session, const RangeArguments& arguments, api::RangeRequest request) {
  const TerminalSize terminal = terminal_size();
  PlotFrame frame;
  frame.title = arguments.device + "  " + printable(arguments.metric);
  frame.from_us = request.from_us();
  frame.to_us = request.to_us();
  frame.width = std::clamp(terminal.columns - 14, 20, 200);
  frame.height = std::clamp(terminal.lines - 6, 4, 24);
  if (request.step_us() == 0) {
    request.set_points(frame.width * 2);
    request.clear_downsampling();
    request.clear_page_size();
  }
  std::vector<PlotColumn> columns;
  each_row(session, request, [&columns](const auto& row) {
    if constexpr (requires { row.min(); }) columns.push_back({row.time_us(), row.min(), row.max()});
    return true;
  });
  draw_plot(session.out(), frame, columns);
}

void show_range(Session& session, const RangeArguments& arguments) {
  api::RangeRequest request = request_of(session, arguments);
  if (arguments.format == Format::kPlot) return plot_range(session, arguments, request);
  Rows rows(session.out(), arguments);
  bool begun = false;
  const auto begin = [&] {
    if (begun) return;
    begun = true;
    if (!arguments.in_buckets()) {
      rows.begin("TIME                        VALUE", "time,value");
    } else {
      rows.begin("TIME                        COUNT     MIN                   MAX                   MEAN",
                 "time,count,min,max,mean");
    }
  };
  each_row(session, request, [&](const auto& row) {
    begin();
    rows.add(row);
    return arguments.limit == 0 || rows.count() < arguments.limit;
  });
  begin();
  rows.end();
}

}  // namespace

void add_range_command(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<RangeArguments>();
  CLI::App* command =
      add_command(app, session, "range", "the values of one metric over time; the last hour unless told otherwise",
                  "  millrace range meter-1 power\n"
                  "  millrace range meter-1 power --from 1d --step 15m\n"
                  "  millrace range meter-1 power --from 2026-11-22T00:00:00Z --to 2026-11-23T00:00:00Z --format csv\n"
                  "  millrace range meter-1 power --from 30d --points 500 --lttb\n"
                  "  millrace range meter-1 power --from 6h --plot\n"
                  "CSV lines are time,value; of buckets time,count,min,max,mean. --from is included, --to is not.",
                  [&session, arguments] { show_range(session, *arguments); });
  command->add_option("DEVICE", arguments->device, "its id")->required();
  command->add_option("METRIC", arguments->metric, "the metric's name")->required();
  command->add_option("--from", arguments->from, "RFC 3339, a date, or how long ago: 15m, 1h, 2d (1h before --to)");
  command->add_option("--to", arguments->to, "the same forms (now)");
  CLI::Option* step =
      command->add_option("--step", arguments->step, "count, min, max and mean of each such stretch: 1m, 15m, 1d");
  CLI::Option* points =
      command->add_option("--points", arguments->points, "the same of so many equal stretches at most (10000)")
          ->check(at_least(1))
          ->excludes(step);
  command->add_flag("--lttb", arguments->lttb, "with --points: stored points that keep the look of the line")
      ->needs(points);
  command->add_option("--limit", arguments->limit, "at most so many rows")->check(at_least(1));
  command->add_flag("--header", arguments->header, "a first CSV line that names the columns");
  add_format_option(*command, arguments->format, {"table", "csv", "json", "plot"});
  command->add_flag_callback("--plot", [arguments] { arguments->format = Format::kPlot; }, "the same as --format plot");
}

}  // namespace millrace::cli
