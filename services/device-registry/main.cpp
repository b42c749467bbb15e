#include <exception>

#include <millrace/base/version.hpp>
#include <millrace/runtime/healthcheck.hpp>
#include <millrace/runtime/lifecycle.hpp>

#include "device_registry_app.hpp"

int main(int argc, char** argv) {
  using namespace millrace;
  runtime::block_signals();
  const auto line =
      config::parse_command_line(registry::option_table(), argc, argv, config::process_environment(), kVersion);
  if (!line.invocation) return line.exit_code;
  const registry::Config config = registry::read_config(line.invocation->values);
  if (line.invocation->command == runtime::kHealthcheck.name) return runtime::healthcheck(config.ops);
  observability::init_logging({"device-registry", config.log_level});
  if (line.invocation->command == "migrate") return registry::migrate(config);
  if (line.invocation->command == "bootstrap") return registry::bootstrap(config, line.invocation->arguments);
  try {
    registry::DeviceRegistryApp app(config);
    return runtime::run(app, config.stop_deadline);
  } catch (const std::exception& error) {
    observability::Logger("main").error("cannot start", {{"error", error.what()}});
    return 1;
  }
}
