#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/base/address.hpp>
#include <millrace/base/result.hpp>

namespace millrace::config {

enum class Type { kString, kInteger, kBoolean, kAddress, kChoice };
enum class Secret { kNo, kYes };

/// One setting. The environment variable is the table's prefix followed by `key`; the unit stands at the end of the key
/// (`_MS`, `_BYTES`, `_S`) where there is one.
struct Option {
  std::string_view key = {};
  Type type = Type::kString;
  std::string_view default_value = {};                            ///< empty and `required`: must be given
  std::string_view help = {};                                     ///< one sentence: what it does and when to change it
  std::int64_t least = std::numeric_limits<std::int64_t>::min();  ///< kInteger: bounds, inclusive
  std::int64_t most = std::numeric_limits<std::int64_t>::max();
  std::string_view choices = {};  ///< kChoice: `a|b|c`
  Secret secret = Secret::kNo;    ///< printed as stars
  bool required = false;
  bool may_be_empty = false;  ///< given as empty it is off, whatever the default
};

/// A subcommand beside the plain start, such as `migrate`.
struct Command {
  std::string_view name = {};
  std::string_view help = {};
};

class Values;

/// Everything a program says about its settings. The spans point to static storage.
struct OptionTable {
  std::string_view program;  ///< `protocol-gateway`
  std::string_view summary;  ///< one sentence for --help
  std::string_view prefix;   ///< `MILLRACE_PROTOCOL_GATEWAY_`
  std::span<const Option> options;
  std::span<const Command> commands;
  /// What no single option says: called by load() once each value is right for itself. kInvalid has a line a fault.
  Status (*check)(const Values& values) = nullptr;
};

/// Checked values of one table. The typed getters end the process on a key that the table does not have or has with
/// another type: that is a fault of the program, not of its user.
class Values {
 public:
  Values(const OptionTable& table, std::map<std::string, std::string, std::less<>> values);

  [[nodiscard]] const std::string& string(std::string_view key) const;
  [[nodiscard]] std::int64_t integer(std::string_view key) const;
  [[nodiscard]] bool boolean(std::string_view key) const;
  [[nodiscard]] Address address(std::string_view key) const;

  /// `KEY=value` lines in the table's order, secrets as `***`.
  [[nodiscard]] std::string print() const;

 private:
  const Option& option(std::string_view key, Type type) const;

  const OptionTable* table_;
  std::map<std::string, std::string, std::less<>> values_;
};

/// Environment variables as name → value.
using Environment = std::map<std::string, std::string, std::less<>>;
[[nodiscard]] Environment process_environment();

/// Reads and checks all values. kInvalid lists every fault, a line each, naming the variable: unknown names under the
/// table's own prefix, values out of bounds, missing required ones.
[[nodiscard]] Result<Values> load(const OptionTable& table, const Environment& environment);

/// The text of --help.
[[nodiscard]] std::string help_text(const OptionTable& table);

/// The table's rows for docs/configuration.md.
[[nodiscard]] std::string markdown(const OptionTable& table);

/// What the command line asks for.
struct Invocation {
  std::string command;                 ///< empty: run
  std::vector<std::string> arguments;  ///< what stands behind the command
  Values values;
};

/// Handles --help, --version, --print-config, --check-config and --print-config-docs itself: then, and on a fault (told
/// on stderr), there is no Invocation and `exit_code` says how to end (0, or 2 for a fault).
struct CommandLine {
  std::optional<Invocation> invocation;
  int exit_code = 0;
};
[[nodiscard]] CommandLine parse_command_line(const OptionTable& table, int argc, const char* const* argv,
                                             const Environment& environment, std::string_view version);

}  // namespace millrace::config
