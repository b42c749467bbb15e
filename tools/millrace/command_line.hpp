#pragma once

#include <functional>
#include <istream>
#include <ostream>
#include <string>
#include <vector>

#include "settings.hpp"

namespace CLI {
class App;
}

namespace millrace::cli {

/// What a command needs from the outside; tests pass string streams.
struct Streams {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
};

enum class Format { kTable, kCsv, kJson, kPlot };

/// Shared by all commands: they register with CLI11 and leave the chosen action here; it runs after the whole line was
/// understood.
class Session {
 public:
  explicit Session(Streams streams) : streams_(streams) {}

  [[nodiscard]] std::ostream& out() { return streams_.out; }
  [[nodiscard]] std::ostream& err() { return streams_.err; }
  [[nodiscard]] std::istream& in() { return streams_.in; }

  SettingFlags flags;
  Settings settings;
  std::function<void()> action;
  /// Of a command that has done what it was asked and has more to say than that.
  int exit_code = 0;

 private:
  Streams streams_;
};

/// A subcommand with its examples under the help text. `run` is called after settings were loaded.
CLI::App* add_command(CLI::App& parent, Session& session, const std::string& name, const std::string& description,
                      const std::string& examples, std::function<void()> run);

/// A group of subcommands; one of them must be given.
CLI::App* add_group(CLI::App& parent, const std::string& name, const std::string& description);

void add_tenant_commands(CLI::App& app, Session& session);
void add_device_commands(CLI::App& app, Session& session);
void add_key_commands(CLI::App& app, Session& session);
void add_rule_commands(CLI::App& app, Session& session);
void add_webhook_commands(CLI::App& app, Session& session);
void add_limit_commands(CLI::App& app, Session& session);
void add_credential_commands(CLI::App& app, Session& session);
/// Under `millrace device`.
void add_access_commands(CLI::App& group, Session& session);
void add_authority_commands(CLI::App& app, Session& session);
void add_policy_commands(CLI::App& app, Session& session);
void add_retention_commands(CLI::App& app, Session& session);
void add_latest_command(CLI::App& app, Session& session);
void add_range_command(CLI::App& app, Session& session);
/// `top` and `aggregate`.
void add_group_commands(CLI::App& app, Session& session);
void add_export_command(CLI::App& app, Session& session);
void add_client_list_command(CLI::App& app, Session& session);
void add_windows_command(CLI::App& app, Session& session);
void add_alerts_command(CLI::App& app, Session& session);
void add_tail_command(CLI::App& app, Session& session);
void add_receipt_command(CLI::App& app, Session& session);
void add_dead_commands(CLI::App& app, Session& session);
void add_ledger_command(CLI::App& app, Session& session);
void add_admin_commands(CLI::App& app, Session& session);
void add_completion_command(CLI::App& app, Session& session);

/// Runs one command line (without the program's name) and returns the exit code.
int run_command_line(std::vector<std::string> arguments, Streams streams);

}  // namespace millrace::cli
