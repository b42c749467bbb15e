// `millrace top` and `millrace aggregate`: one metric of many devices.
#include <map>
#include <memory>

#include "checks.hpp"
#include "client.hpp"
#include "command_line.hpp"
#include "format_option.hpp"
#include "millrace/query/v1/query.grpc.pb.h"
#include "time_range.hpp"

namespace millrace::cli {
namespace {

namespace api = query::v1;

constexpr std::int64_t kDay = 86'400 * kUsPerSecond;
constexpr const char* kHint = "`millrace latest DEVICE` shows a device's metrics, `millrace device list` the devices";

struct TopArguments {
  std::string metric;
  std::vector<std::string> devices;
  TimeRange times;
  api::Figure figure = api::FIGURE_MEAN;
  std::int32_t count = 10;
  bool lowest = false;
  Format format = Format::kTable;
};

void show_top(Session& session, const TopArguments& arguments) {
  Client<api::QueryService> query(session.settings, Target::kQuery);
  api::TopNRequest request;
  request.set_tenant(session.settings.tenant);
  request.set_metric(arguments.metric);
  for (const std::string& device : arguments.devices) request.add_devices(device);
  arguments.times.set(request, kDay);
  request.set_figure(arguments.figure);
  request.set_n(arguments.count);
  request.set_lowest(arguments.lowest);
  const auto answer = query.call(&api::QueryService::StubInterface::TopN, request, kHint);
  std::ostream& out = session.out();
  Table table({"DEVICE", "VALUE", "COUNT"});
  for (const auto& entry : answer.entries()) {
    const std::string count = std::to_string(entry.count());
    if (arguments.format == Format::kTable) {
      table.add({entry.device(), rounded_text(entry.value()), count});
    } else if (arguments.format == Format::kCsv) {
      out << entry.device() << ',' << number_text(entry.value()) << ',' << count << '\n';
    } else {
      out << "{\"device\":" << json_string(entry.device()) << ",\"value\":" << number_json(entry.value())
          << ",\"count\":" << count << "}\n";
    }
  }
  if (arguments.format != Format::kTable) return;
  table.print(out);
  if (table.empty()) out << "no numbers in this range\n";
}

struct AggregateArguments {
  std::string metric;
  std::vector<std::string> devices;
  TimeRange times;
  std::string step;
  api::CalendarUnit unit = api::CALENDAR_UNIT_UNSPECIFIED;
  std::string zone;
  Format format = Format::kTable;
};

void print(std::ostream& out, Format format, Table& table, const api::AggregateResponse::Bucket& bucket) {
  const std::string start = format_rfc3339(bucket.start_us());
  const std::string count = std::to_string(bucket.count());
  if (format == Format::kTable) {
    table.add({start, count, rounded_text(bucket.sum()), rounded_text(bucket.mean()), rounded_text(bucket.min()),
               rounded_text(bucket.max()), std::to_string(bucket.devices())});
  } else if (format == Format::kCsv) {
    out << start << ',' << format_rfc3339(bucket.end_us()) << ',' << count << ',' << number_text(bucket.sum()) << ','
        << number_text(bucket.mean()) << ',' << number_text(bucket.min()) << ',' << number_text(bucket.max()) << ','
        << number_text(bucket.first()) << ',' << number_text(bucket.last()) << ',' << bucket.devices() << '\n';
  } else {
    out << "{\"start\":" << json_string(start) << ",\"end\":" << json_string(format_rfc3339(bucket.end_us()))
        << ",\"count\":" << count << ",\"sum\":" << number_json(bucket.sum())
        << ",\"mean\":" << number_json(bucket.mean()) << ",\"min\":" << number_json(bucket.min())
        << ",\"max\":" << number_json(bucket.max()) << ",\"first\":" << number_json(bucket.first())
        << ",\"last\":" << number_json(bucket.last()) << ",\"devices\":" << bucket.devices() << "}\n";
  }
}

void show_aggregate(Session& session, const AggregateArguments& arguments) {
  Client<api::QueryService> query(session.settings, Target::kQuery);
  api::AggregateRequest request;
  request.set_tenant(session.settings.tenant);
  request.set_metric(arguments.metric);
  for (const std::string& device : arguments.devices) request.add_devices(device);
  arguments.times.set(request, kDay);
  if (arguments.unit == api::CALENDAR_UNIT_UNSPECIFIED) {
    request.set_step_us(parse_duration_us("--step", arguments.step.empty() ? "1h" : arguments.step));
  }
  request.set_unit(arguments.unit);
  request.set_time_zone(arguments.zone);
  request.set_page_size(10'000);
  Table table({"START", "COUNT", "SUM", "MEAN", "MIN", "MAX", "DEVICES"});
  do {
    const auto page = query.call(&api::QueryService::StubInterface::Aggregate, request, kHint);
    for (const auto& bucket : page.buckets()) print(session.out(), arguments.format, table, bucket);
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  if (arguments.format != Format::kTable) return;
  table.print(session.out());
  if (table.empty()) session.out() << "no numbers in this range\n";
}

void add_top_command(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<TopArguments>();
  CLI::App* command =
      add_command(app, session, "top", "the devices with the highest or lowest values of a metric; of the last day",
                  "  millrace top power\n"
                  "  millrace top temperature --by max -n 20 --from 7d\n"
                  "  millrace top voltage --by min --lowest --json\n"
                  "CSV lines are device,value,count; JSON is one object a line.",
                  [&session, arguments] { show_top(session, *arguments); });
  command->add_option("METRIC", arguments->metric, "the metric's name")->required();
  command->add_option("--device", arguments->devices, "only among these; may be repeated");
  arguments->times.add_options(*command, "1d");
  const std::map<std::string, api::Figure> figures{{"mean", api::FIGURE_MEAN},
                                                   {"min", api::FIGURE_MIN},
                                                   {"max", api::FIGURE_MAX},
                                                   {"sum", api::FIGURE_SUM},
                                                   {"count", api::FIGURE_COUNT}};
  command->add_option("--by", arguments->figure, "mean (if not told otherwise), min, max, sum, count")
      ->transform(value_of(figures))
      ->option_text("FIGURE");
  command->add_option("-n", arguments->count, "so many (10)")->check(at_least(1));
  command->add_flag("--lowest", arguments->lowest, "the lowest instead of the highest");
  add_format_option(*command, arguments->format, {"table", "csv", "json"});
}

void add_aggregate_command(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<AggregateArguments>();
  CLI::App* command =
      add_command(app, session, "aggregate", "one metric of many devices together, by time; of the last day",
                  "  millrace aggregate power --step 15m\n"
                  "  millrace aggregate energy --from 30d --every day --zone Europe/Berlin\n"
                  "  millrace aggregate power --device meter-1 --device meter-2 --format csv\n"
                  "CSV lines are start,end,count,sum,mean,min,max,first,last,devices; JSON is one object a line.",
                  [&session, arguments] { show_aggregate(session, *arguments); });
  command->add_option("METRIC", arguments->metric, "the metric's name")->required();
  command->add_option("--device", arguments->devices, "only of these; may be repeated");
  arguments->times.add_options(*command, "1d");
  CLI::Option* step = command->add_option("--step", arguments->step, "each such stretch: 1m, 15m, 6h (1h)");
  const std::map<std::string, api::CalendarUnit> units{{"day", api::CALENDAR_UNIT_DAY},
                                                       {"week", api::CALENDAR_UNIT_WEEK},
                                                       {"month", api::CALENDAR_UNIT_MONTH},
                                                       {"year", api::CALENDAR_UNIT_YEAR}};
  CLI::Option* every = command->add_option("--every", arguments->unit, "each day, week, month or year of the calendar")
                           ->transform(value_of(units))
                           ->option_text("UNIT")
                           ->excludes(step);
  command->add_option("--zone", arguments->zone, "with --every: its time zone, as Europe/Berlin (UTC)")->needs(every);
  add_format_option(*command, arguments->format, {"table", "csv", "json"});
}

}  // namespace

void add_group_commands(CLI::App& app, Session& session) {
  add_top_command(app, session);
  add_aggregate_command(app, session);
}

}  // namespace millrace::cli
