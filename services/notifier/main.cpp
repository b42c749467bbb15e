#include <exception>

#include <millrace/base/version.hpp>
#include <millrace/runtime/healthcheck.hpp>
#include <millrace/runtime/lifecycle.hpp>

#include "notifier_app.hpp"

int main(int argc, char** argv) {
  using namespace millrace;
  runtime::block_signals();
  const auto line =
      config::parse_command_line(notifier::option_table(), argc, argv, config::process_environment(), kVersion);
  if (!line.invocation) return line.exit_code;
  notifier::Config config = notifier::read_config(line.invocation->values);
  if (line.invocation->command == runtime::kHealthcheck.name) return runtime::healthcheck(config.ops);
  config.dispatcher.version = kVersion;
  observability::init_logging({"notifier", config.log_level});
  try {
    notifier::NotifierApp app(config);
    return runtime::run(app, config.stop_deadline);
  } catch (const std::exception& error) {
    observability::Logger("main").error("cannot start", {{"error", error.what()}});
    return 1;
  }
}
