#include "command_line.hpp"

#include <algorithm>
#include <memory>

#include <CLI/CLI.hpp>

#include <millrace/base/version.hpp>

#include "command_error.hpp"
#include "type_commands.hpp"

namespace millrace::cli {
namespace {

void add_setting_flags(CLI::App& app, SettingFlags& flags) {
  const char* group = "Where and who (before the environment, before the profile)";
  app.add_option("--profile", flags.profile, "profile file [MILLRACE_PROFILE, ~/.config/millrace/profile]")
      ->group(group);
  app.add_option("--registry", flags.registry, "address of device-registry [MILLRACE_REGISTRY_ADDR]")->group(group);
  app.add_option("--query", flags.query, "address of query-api [MILLRACE_QUERY_ADDR]")->group(group);
  app.add_option("--ca", flags.ca_file, "PEM of those whose servers are trusted; without: no TLS [MILLRACE_CA_FILE]")
      ->group(group);
  app.add_option("--api-key", flags.api_key, "mk_... [MILLRACE_API_KEY]")->group(group);
  app.add_option("--tenant", flags.tenant, "tenant; default: the key's own [MILLRACE_TENANT]")->group(group);
  app.add_option("--kafka", flags.kafka, "bootstrap servers, for admin [MILLRACE_KAFKA]")->group(group);
  app.add_option("--timeout", flags.timeout_seconds, "seconds a call may take (30)")
      ->check(CLI::Range(0.001, 86'400.0))
      ->group(group);
}

void print_error(const CommandError& error, std::ostream& err) {
  err << "millrace: " << error.what() << '\n';
  if (!error.next().empty()) err << "next: " << error.next() << '\n';
}

/// As it is typed: `millrace device topics`.
std::string path_of(const CLI::App& command) {
  std::string path = command.get_name();
  for (const CLI::App* above = command.get_parent(); above != nullptr; above = above->get_parent()) {
    path = above->get_name() + ' ' + path;
  }
  return path;
}

/// The first word that is no command where one is wanted; empty: there is none.
std::string unknown_command(const CLI::App& app, const CLI::App& deepest) {
  if (deepest.get_require_subcommand_min() == 0) return {};
  for (const std::string& word : app.remaining(true)) {
    if (!word.starts_with('-')) return word;
  }
  return {};
}

/// CLI11's own message for a mistake, and the help that belongs to it.
int report_usage(const CLI::App& app, const CLI::ParseError& error, std::ostream& err) {
  const CLI::App* deepest = &app;
  std::string path = "millrace";
  for (auto chosen = deepest->get_subcommands(); !chosen.empty(); chosen = deepest->get_subcommands()) {
    deepest = chosen.front();
    path += ' ' + deepest->get_name();
  }
  const std::string unknown = unknown_command(app, *deepest);
  const std::string said = unknown.empty() ? error.what() : "there is no command '" + unknown + '\'';
  err << "millrace: " << said << '\n' << "next: `" << path << " --help` shows what it takes\n";
  return kExitUsage;
}

}  // namespace

CLI::App* add_command(CLI::App& parent, Session& session, const std::string& name, const std::string& description,
                      const std::string& examples, std::function<void()> run) {
  CLI::App* command = parent.add_subcommand(name, description);
  command->footer("Examples:\n" + examples);
  command->callback([&session, run = std::move(run)] { session.action = run; });
  return command;
}

CLI::App* add_group(CLI::App& parent, const std::string& name, const std::string& description) {
  CLI::App* group = parent.add_subcommand(name, description);
  group->require_subcommand(1);
  group->footer("Examples: `" + path_of(*group) + " COMMAND --help`");
  return group;
}

int run_command_line(std::vector<std::string> arguments, Streams streams) {
  Session session(streams);
  CLI::App app("The operator's command line of Millrace: tenants, devices, keys, and the readings they sent.",
               "millrace");
  app.set_version_flag("--version", std::string("millrace ") + kVersion, "print the version");
  app.require_subcommand(1);
  app.fallthrough();
  app.footer(
      "Examples:\n"
      "  millrace device create meter-1 --json     a device and its token\n"
      "  millrace latest meter-1                   its newest values\n"
      "  millrace range meter-1 power --plot       the last hour, drawn\n"
      "  millrace tail                             readings as they come\n"
      "  millrace alerts --open                    what is wrong now\n"
      "Exit codes: 0 done, 1 failed, 2 wrong usage; `receipt` and `ledger` have more.");
  add_setting_flags(app, session.flags);
  add_tenant_commands(app, session);
  add_device_commands(app, session);
  add_credential_commands(app, session);
  add_authority_commands(app, session);
  add_policy_commands(app, session);
  add_type_commands(app, session);
  add_retention_commands(app, session);
  add_key_commands(app, session);
  add_rule_commands(app, session);
  add_webhook_commands(app, session);
  add_limit_commands(app, session);
  add_latest_command(app, session);
  add_range_command(app, session);
  add_group_commands(app, session);
  add_export_command(app, session);
  add_windows_command(app, session);
  add_alerts_command(app, session);
  add_client_list_command(app, session);
  add_tail_command(app, session);
  add_receipt_command(app, session);
  add_dead_commands(app, session);
  add_ledger_command(app, session);
  add_admin_commands(app, session);
  add_completion_command(app, session);
  try {
    std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them last first
    app.parse(arguments);
    session.settings = load_settings(session.flags, process_environment);
    session.action();
    session.out().flush();
    return session.exit_code;
  } catch (const CLI::Success& success) {
    return app.exit(success, streams.out, streams.err);
  } catch (const CLI::ParseError& error) {
    return report_usage(app, error, streams.err);
  } catch (const CommandError& error) {
    session.out().flush();
    print_error(error, streams.err);
    return error.exit_code();
  }
}

}  // namespace millrace::cli
