#include <charconv>
#include <cstdio>
#include <cstdlib>

#include <millrace/config/options.hpp>

extern char** environ;  // NOLINT(readability-redundant-declaration)

namespace millrace::config {
namespace {

std::optional<std::int64_t> to_integer(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || code != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<bool> to_boolean(std::string_view text) {
  if (text == "true" || text == "1" || text == "on" || text == "yes") return true;
  if (text == "false" || text == "0" || text == "off" || text == "no") return false;
  return std::nullopt;
}

bool is_choice(std::string_view choices, std::string_view value) {
  while (!choices.empty()) {
    const std::size_t bar = choices.find('|');
    if (choices.substr(0, bar) == value) return true;
    if (bar == std::string_view::npos) return false;
    choices.remove_prefix(bar + 1);
  }
  return false;
}

// What is wrong with the value, or an empty string.
std::string fault_of(const Option& option, std::string_view value) {
  switch (option.type) {
    case Type::kString:
      return {};
    case Type::kInteger: {
      const auto number = to_integer(value);
      if (!number) return "is not an integer";
      if (*number < option.least) return "is less than " + std::to_string(option.least);
      if (*number > option.most) return "is greater than " + std::to_string(option.most);
      return {};
    }
    case Type::kBoolean:
      return to_boolean(value) ? "" : "is neither true nor false";
    case Type::kAddress:
      return parse_address(value).ok() ? "" : "is not host:port";
    case Type::kChoice:
      return is_choice(option.choices, value) ? "" : "is none of " + std::string(option.choices);
  }
  return {};
}

[[noreturn]] void broken(std::string_view key) {
  std::fprintf(stderr, "config: option %.*s is not in the table with this type\n", static_cast<int>(key.size()),
               key.data());
  std::abort();
}

std::string bounds_text(const Option& option) {
  switch (option.type) {
    case Type::kString:
      return "text";
    case Type::kInteger: {
      const bool low = option.least != std::numeric_limits<std::int64_t>::min();
      const bool high = option.most != std::numeric_limits<std::int64_t>::max();
      if (low && high) return std::to_string(option.least) + " to " + std::to_string(option.most);
      if (low) return "at least " + std::to_string(option.least);
      return "integer";
    }
    case Type::kBoolean:
      return "true or false";
    case Type::kAddress:
      return "host:port";
    case Type::kChoice:
      return std::string(option.choices);
  }
  return {};
}

}  // namespace

Values::Values(const OptionTable& table, std::map<std::string, std::string, std::less<>> values)
    : table_(&table), values_(std::move(values)) {}

const Option& Values::option(std::string_view key, Type type) const {
  for (const Option& candidate : table_->options) {
    if (candidate.key == key && candidate.type == type) return candidate;
  }
  broken(key);
}

const std::string& Values::string(std::string_view key) const {
  const auto found = values_.find(key);
  if (found == values_.end()) broken(key);
  return found->second;
}

std::int64_t Values::integer(std::string_view key) const {
  static_cast<void>(option(key, Type::kInteger));
  return *to_integer(string(key));
}

bool Values::boolean(std::string_view key) const {
  static_cast<void>(option(key, Type::kBoolean));
  return *to_boolean(string(key));
}

Address Values::address(std::string_view key) const {
  static_cast<void>(option(key, Type::kAddress));
  return *parse_address(string(key));
}

std::string Values::print() const {
  std::string out;
  for (const Option& option : table_->options) {
    const std::string& value = string(option.key);
    out.append(table_->prefix).append(option.key).append("=");
    out.append(option.secret == Secret::kYes && !value.empty() ? "***" : value).append("\n");
  }
  return out;
}

Environment process_environment() {
  Environment environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::size_t equals = text.find('=');
    if (equals != std::string_view::npos) environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return environment;
}

Result<Values> load(const OptionTable& table, const Environment& environment) {
  std::string faults;
  std::map<std::string, std::string, std::less<>> values;
  for (const Option& option : table.options) {
    const std::string name = std::string(table.prefix) + std::string(option.key);
    const auto given = environment.find(name);
    const std::string value = given == environment.end() ? std::string(option.default_value) : given->second;
    if (option.required && value.empty()) {
      faults += name + " is required: " + std::string(option.help) + "\n";
    } else if (const std::string fault = value.empty() && (option.default_value.empty() || option.may_be_empty)
                                             ? ""
                                             : fault_of(option, value);
               !fault.empty()) {
      faults += name + (option.secret == Secret::kYes ? "" : "=" + value) + " " + fault + "\n";
    }
    values.emplace(option.key, value);
  }
  for (auto it = environment.lower_bound(table.prefix); it != environment.end() && it->first.starts_with(table.prefix);
       ++it) {
    const std::string_view key = std::string_view(it->first).substr(table.prefix.size());
    if (!values.contains(key)) faults += it->first + " is unknown (--help lists the settings)\n";
  }
  if (!faults.empty()) return Error{ErrorKind::kInvalid, faults};
  Values loaded(table, std::move(values));
  if (table.check != nullptr) {
    if (auto checked = table.check(loaded); !checked.ok()) return checked.error();
  }
  return loaded;
}

std::string help_text(const OptionTable& table) {
  std::string out =
      std::string(table.program) + ": " + std::string(table.summary) + "\n\nUsage: " + std::string(table.program);
  if (!table.commands.empty()) out += " [command]";
  out += " [--help | --version | --print-config | --check-config]\n";
  if (!table.commands.empty()) {
    out += "\nCommands (none: run the service)\n";
    for (const Command& command : table.commands) {
      out += "  " + std::string(command.name) + "\n      " + std::string(command.help) + "\n";
    }
  }
  out += "\nSettings (environment)\n";
  for (const Option& option : table.options) {
    out += "  " + std::string(table.prefix) + std::string(option.key) + "  (" + bounds_text(option);
    if (option.required) out += "; required";
    if (!option.default_value.empty()) out += "; default " + std::string(option.default_value);
    out += ")\n      " + std::string(option.help) + "\n";
  }
  return out;
}

std::string markdown(const OptionTable& table) {
  std::string out =
      "## " + std::string(table.program) + "\n\n| variable | values | default | what it does |\n|---|---|---|---|\n";
  for (const Option& option : table.options) {
    std::string bounds = bounds_text(option);
    for (std::size_t at = 0; (at = bounds.find('|', at)) != std::string::npos; at += 2) bounds.replace(at, 1, "\\|");
    out += "| `" + std::string(table.prefix) + std::string(option.key) + "` | " + bounds + " | ";
    out += option.required                ? "required"
           : option.default_value.empty() ? ""
                                          : "`" + std::string(option.default_value) + "`";
    out += " | " + std::string(option.help) + " |\n";
  }
  return out;
}

CommandLine parse_command_line(const OptionTable& table, int argc, const char* const* argv,
                               const Environment& environment, std::string_view version) {
  const std::string_view first = argc > 1 ? argv[1] : "";
  const auto print = [](const std::string& text) {
    std::fputs(text.c_str(), stdout);
    return CommandLine{std::nullopt, 0};
  };
  const auto fault = [&](const std::string& text) {
    std::fprintf(stderr, "%.*s: %s", static_cast<int>(table.program.size()), table.program.data(), text.c_str());
    return CommandLine{std::nullopt, 2};
  };
  if (first == "--help" || first == "-h") return print(help_text(table));
  if (first == "--version") return print(std::string(table.program) + " " + std::string(version) + "\n");
  if (first == "--print-config-docs") return print(markdown(table));
  if (first.starts_with("-") && first != "--print-config" && first != "--check-config") {
    return fault("unknown option " + std::string(first) + " (--help lists them)\n");
  }
  auto values = load(table, environment);
  if (!values) return fault("the configuration is wrong:\n" + values.error().message);
  if (first == "--print-config") return print(values->print());
  if (first == "--check-config") return print("the configuration is valid\n");
  bool known = first.empty();
  for (const Command& command : table.commands) known = known || command.name == first;
  if (!known) return fault("unknown command '" + std::string(first) + "' (--help lists them)\n");
  std::vector<std::string> arguments(argv + std::min(argc, 2), argv + argc);
  return CommandLine{Invocation{std::string(first), std::move(arguments), std::move(*values)}, 0};
}

}  // namespace millrace::config
