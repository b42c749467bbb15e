#include <cstdio>

#include <millrace/base/version.hpp>
#include <millrace/runtime/healthcheck.hpp>
#include <millrace/runtime/lifecycle.hpp>

#include "protocol_gateway_app.hpp"

int main(int argc, char** argv) {
  using namespace millrace;
  runtime::block_signals();
  const auto line =
      config::parse_command_line(gateway::option_table(), argc, argv, config::process_environment(), kVersion);
  if (!line.invocation) return line.exit_code;
  const gateway::Config config = gateway::read_config(line.invocation->values);
  if (line.invocation->command == runtime::kHealthcheck.name) return runtime::healthcheck(config.ops);
  observability::init_logging({"protocol-gateway", config.log_level});
  try {
    gateway::ProtocolGatewayApp app(config);
    return runtime::run(app, config.stop_deadline);
  } catch (const std::exception& error) {
    observability::Logger("main").error("cannot start", {{"error", error.what()}});
    return 1;
  }
}
