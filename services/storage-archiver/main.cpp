#include <exception>

#include <millrace/base/version.hpp>
#include <millrace/runtime/healthcheck.hpp>
#include <millrace/runtime/lifecycle.hpp>

#include "storage_archiver_app.hpp"

int main(int argc, char** argv) {
  using namespace millrace;
  runtime::block_signals();
  const auto line =
      config::parse_command_line(archiver::option_table(), argc, argv, config::process_environment(), kVersion);
  if (!line.invocation) return line.exit_code;
  const archiver::Config config = archiver::read_config(line.invocation->values);
  if (line.invocation->command == runtime::kHealthcheck.name) return runtime::healthcheck(config.ops);
  observability::init_logging({"storage-archiver", config.log_level});
  try {
    if (line.invocation->command == "once") return archiver::run_once(config);
    archiver::StorageArchiverApp app(config);
    return runtime::run(app, config.stop_deadline);
  } catch (const std::exception& error) {
    observability::Logger("main").error("cannot start", {{"error", error.what()}});
    return 1;
  }
}
