// `millrace export`: stored points of many devices as a file.
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>

#include "checks.hpp"
#include "client.hpp"
#include "command_line.hpp"
#include "millrace/query/v1/query.grpc.pb.h"
#include "time_range.hpp"

namespace millrace::cli {
namespace {

namespace api = query::v1;

struct ExportArguments {
  std::vector<std::string> devices;
  std::vector<std::string> metrics;
  TimeRange times;
  std::string file;
  api::ExportFormat format = api::EXPORT_FORMAT_CSV;
};

/// Writes what comes; the number of points. Throws CommandError when the call fails or the file cannot be written.
std::int64_t receive(Client<api::QueryService>& query, const api::ExportRequest& request, std::ostream& out) {
  grpc::ClientContext context;
  authorize(context, query.settings());
  const auto parts = query.stub().Export(&context, request);
  std::int64_t points = 0;
  api::ExportResponse part;
  while (parts->Read(&part)) {
    out.write(part.data().data(), static_cast<std::streamsize>(part.data().size()));
    if (!out.flush()) {
      context.TryCancel();
      throw CommandError("the output cannot be written: " + std::string(std::strerror(errno)),
                         "see whether the disk is full, or name another --output");
    }
    points += part.points();
  }
  if (const grpc::Status status = parts->Finish(); !status.ok()) {
    query.fail(status, "`millrace device list` shows the devices, `millrace latest DEVICE` their metrics");
  }
  return points;
}

void run_export(Session& session, const ExportArguments& arguments) {
  Client<api::QueryService> query(session.settings, Target::kQuery);
  api::ExportRequest request;
  request.set_tenant(session.settings.tenant);
  for (const std::string& device : arguments.devices) request.add_devices(device);
  for (const std::string& metric : arguments.metrics) request.add_metrics(metric);
  arguments.times.set(request, 86'400 * kUsPerSecond);
  request.set_format(arguments.format);
  std::ofstream file;
  if (!arguments.file.empty()) {
    file.open(arguments.file, std::ios::binary | std::ios::trunc);
    if (!file) {
      throw CommandError("cannot write " + arguments.file + ": " + std::strerror(errno),
                         "name another file with --output");
    }
  }
  const std::int64_t points = receive(query, request, file.is_open() ? file : session.out());
  session.err() << "millrace: " << points << " points\n";
}

}  // namespace

void add_export_command(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<ExportArguments>();
  CLI::App* command =
      add_command(app, session, "export", "stored points of many devices as CSV, Parquet or Arrow; of the last day",
                  "  millrace export --from 2026-11-22 --to 2026-11-23 --output day.csv\n"
                  "  millrace export meter-1 meter-2 --metric power --from 30d\n"
                  "  millrace export --format parquet > day.parquet\n"
                  "The first line of CSV is device,metric,time,type,value,untimed. How many points it was is said on "
                  "standard error.",
                  [&session, arguments] { run_export(session, *arguments); });
  command->add_option("DEVICE", arguments->devices, "only these");
  command->add_option("--metric", arguments->metrics, "only these; may be repeated");
  const std::map<std::string, api::ExportFormat> formats{
      {"csv", api::EXPORT_FORMAT_CSV}, {"parquet", api::EXPORT_FORMAT_PARQUET}, {"arrow", api::EXPORT_FORMAT_ARROW}};
  command->add_option("--format", arguments->format, "csv (default), parquet, or arrow: a stream of its IPC format")
      ->transform(value_of(formats))
      ->option_text("FORMAT");
  arguments->times.add_options(*command, "1d");
  command->add_option("--output,-o", arguments->file, "this file instead of standard output");
}

}  // namespace millrace::cli
