#include <memory>
#include <thread>

#include <CLI/CLI.hpp>

#include <millrace/base/time.hpp>

#include "checks.hpp"
#include "client.hpp"
#include "command_line.hpp"
#include "format_option.hpp"
#include "millrace/query/v1/query.grpc.pb.h"
#include "stop_signals.hpp"
#include "text.hpp"

namespace millrace::cli {
namespace {

namespace api = query::v1;

struct TailArguments {
  std::vector<std::string> devices;
  std::vector<std::string> metrics;
  std::int64_t count = 0;
  Format format = Format::kTable;
};

void print(std::ostream& out, const api::TailResponse::Reading& reading, Format format) {
  const std::string time = format_rfc3339(reading.time_us());
  if (format == Format::kJson) {
    out << "{\"device\":" << json_string(reading.device()) << ",\"metric\":" << json_string(reading.metric())
        << ",\"time\":\"" << time << "\",\"value\":" << value_json(reading.value())
        << ",\"receipt\":" << json_string(reading.receipt()) << "}\n";
  } else if (format == Format::kCsv) {
    out << reading.device() << ',' << csv_field(reading.metric()) << ',' << time << ','
        << csv_field(value_text(reading.value())) << ',' << reading.receipt() << '\n';
  } else {
    out << time << "  " << reading.device() << "  " << printable(reading.metric()) << " = "
        << printable(value_text(reading.value())) << '\n';
  }
}

void tail(Session& session, const TailArguments& arguments) {
  const sigset_t signals = block_stop_signals();
  Client<api::QueryService> query(session.settings, Target::kQuery);
  api::TailRequest request;
  request.set_tenant(session.settings.tenant);
  for (const auto& device : arguments.devices) request.add_devices(device);
  for (const auto& metric : arguments.metrics) request.add_metrics(metric);
  grpc::ClientContext context;
  authorize(context, session.settings);
  const auto stream = query.stub().Tail(&context, request);
  std::jthread stopper([&](const std::stop_token& stop) {
    const timespec slice{0, 200'000'000};
    while (!stop.stop_requested()) {
      if (sigtimedwait(&signals, nullptr, &slice) > 0) return context.TryCancel();
    }
  });
  std::int64_t left = arguments.count;
  api::TailResponse response;
  bool enough = false;
  bool is_over = false;  // by the server's word, which says why
  while (!enough) {
    if (!stream->Read(&response)) {
      is_over = true;
      break;
    }
    if (response.missed() > 0) {
      session.err() << "millrace: " << response.missed()
                    << " readings were left out because this reader was too slow\n";
    }
    for (const auto& reading : response.readings()) {
      print(session.out(), reading, arguments.format);
      enough = arguments.count > 0 && --left == 0;
      if (enough) break;
    }
    session.out().flush();
    if (!session.out()) break;  // the reader of our output is gone
  }
  if (!is_over) context.TryCancel();
  const grpc::Status status = stream->Finish();
  if (!status.ok() && status.error_code() != grpc::StatusCode::CANCELLED) query.fail(status);
}

}  // namespace

void add_tail_command(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<TailArguments>();
  CLI::App* command = add_command(app, session, "tail", "readings as they come, until Ctrl-C",
                                  "  millrace tail\n"
                                  "  millrace tail meter-1 meter-2 --metric power\n"
                                  "  millrace tail --json --count 100\n"
                                  "CSV lines are device,metric,time,value,receipt.",
                                  [&session, arguments] { tail(session, *arguments); });
  command->add_option("DEVICE", arguments->devices, "only these");
  command->add_option("--metric", arguments->metrics, "only these");
  command->add_option("--count", arguments->count, "stop after so many")->check(at_least(1));
  add_format_option(*command, arguments->format, {"table", "csv", "json"});
}

}  // namespace millrace::cli
