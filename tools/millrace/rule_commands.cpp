#include <memory>
#include <optional>

#include <CLI/CLI.hpp>

#include "checks.hpp"
#include "client.hpp"
#include "command_error.hpp"
#include "command_line.hpp"
#include "format_option.hpp"
#include "millrace/registry/v1/registry.grpc.pb.h"
#include "severity.hpp"
#include "text.hpp"

namespace millrace::cli {
namespace {

namespace api = registry::v1;
using Service = api::RegistryService;
using Registry = Client<Service>;
using rules::v1::Rule;
constexpr const char* kHint = "`millrace rule list` shows the rules";

struct RuleArguments {
  std::string rule;
  std::optional<std::string> metric;
  std::optional<std::string> raise;
  std::optional<std::string> clear;
  std::optional<std::string> prefix;
  std::optional<std::string> severity;
  std::optional<std::string> description;
  bool disabled = false;
  bool enabled = false;
  Format format = Format::kTable;
};

void apply(const RuleArguments& arguments, Rule& rule) {
  if (arguments.metric) rule.set_metric(*arguments.metric);
  if (arguments.raise) rule.set_raise(*arguments.raise);
  if (arguments.clear) rule.set_clear(*arguments.clear);
  if (arguments.prefix) rule.set_device_prefix(*arguments.prefix);
  if (arguments.severity) rule.set_severity(severities().at(*arguments.severity));
  if (arguments.description) rule.set_description(*arguments.description);
  if (arguments.enabled || arguments.disabled) rule.set_enabled(arguments.enabled);
}

std::string json(const Rule& rule) {
  const auto member = [](const char* name, const std::string& value) {
    return std::string(",\"") + name + "\":" + json_string(value);
  };
  return "{\"rule\":" + json_string(rule.rule()) + member("tenant", rule.tenant()) +
         ",\"version\":" + std::to_string(rule.version()) + member("metric", rule.metric()) +
         member("device_prefix", rule.device_prefix()) + member("raise", rule.raise()) + member("clear", rule.clear()) +
         member("severity", severity_text(rule.severity())) + member("description", rule.description()) +
         ",\"enabled\":" + (rule.enabled() ? "true" : "false") + "}";
}

void print(Session& session, const std::vector<Rule>& rules) {
  Table table({"RULE", "VERSION", "ENABLED", "SEVERITY", "METRIC", "DEVICES", "RAISE", "CLEAR", "DESCRIPTION"});
  for (const Rule& rule : rules) {
    table.add({rule.rule(), std::to_string(rule.version()), rule.enabled() ? "yes" : "no",
               severity_text(rule.severity()), printable(rule.metric()),
               rule.device_prefix().empty() ? "all" : rule.device_prefix() + "*", printable(rule.raise()),
               rule.clear().empty() ? "when not raised" : printable(rule.clear()), printable(rule.description())});
  }
  table.print(session.out());
}

void show(Session& session, const RuleArguments& arguments, const Rule& rule) {
  if (arguments.format == Format::kJson)
    session.out() << json(rule) << '\n';
  else
    print(session, {rule});
}

Rule present(Registry& registry, Session& session, const RuleArguments& arguments) {
  api::GetRuleRequest request;
  request.set_tenant(session.settings.tenant);
  request.set_rule(arguments.rule);
  return registry.call(&Service::StubInterface::GetRule, request, kHint);
}

void create_rule(Session& session, const RuleArguments& arguments) {
  api::CreateRuleRequest request;
  Rule& rule = *request.mutable_rule();
  rule.set_tenant(session.settings.tenant);
  rule.set_rule(arguments.rule);
  rule.set_severity(rules::v1::SEVERITY_WARNING);
  rule.set_enabled(!arguments.disabled);
  apply(arguments, rule);
  show(session, arguments,
       Registry(session.settings, Target::kRegistry)
           .call(&Service::StubInterface::CreateRule, request, "`millrace rule create --help` shows the conditions"));
}

// Reads the rule, changes it and sends it back under the version it had: a change in between is not overwritten.
void change_rule(Session& session, const RuleArguments& arguments, const std::function<void(Rule&)>& change) {
  Registry registry(session.settings, Target::kRegistry);
  api::UpdateRuleRequest request;
  *request.mutable_rule() = present(registry, session, arguments);
  change(*request.mutable_rule());
  show(session, arguments, registry.call(&Service::StubInterface::UpdateRule, request, kHint));
}

void update_rule(Session& session, const RuleArguments& arguments) {
  const bool changes = arguments.metric || arguments.raise || arguments.clear || arguments.prefix ||
                       arguments.severity || arguments.description || arguments.enabled || arguments.disabled;
  if (!changes) throw usage_error("nothing to change is given", "`millrace rule update --help` shows what it takes");
  change_rule(session, arguments, [&](Rule& rule) { apply(arguments, rule); });
}

void enable_rule(Session& session, const RuleArguments& arguments) {
  change_rule(session, arguments, [](Rule& rule) { rule.set_enabled(true); });
}

void disable_rule(Session& session, const RuleArguments& arguments) {
  change_rule(session, arguments, [](Rule& rule) { rule.set_enabled(false); });
}

void list_rules(Session& session, const RuleArguments& arguments) {
  Registry registry(session.settings, Target::kRegistry);
  api::ListRulesRequest request;
  request.set_tenant(session.settings.tenant);
  request.set_page_size(1'000);
  std::vector<Rule> rules;
  do {
    const auto page = registry.call(&Service::StubInterface::ListRules, request);
    rules.insert(rules.end(), page.rules().begin(), page.rules().end());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  if (arguments.format != Format::kJson) return print(session, rules);
  session.out() << '[';
  for (std::size_t i = 0; i < rules.size(); ++i) session.out() << (i == 0 ? "" : ",\n") << json(rules[i]);
  session.out() << "]\n";
}

void show_rule(Session& session, const RuleArguments& arguments) {
  Registry registry(session.settings, Target::kRegistry);
  show(session, arguments, present(registry, session, arguments));
}

void delete_rule(Session& session, const RuleArguments& arguments) {
  api::DeleteRuleRequest request;
  request.set_tenant(session.settings.tenant);
  request.set_rule(arguments.rule);
  static_cast<void>(
      Registry(session.settings, Target::kRegistry).call(&Service::StubInterface::DeleteRule, request, kHint));
  session.out() << "deleted rule " << arguments.rule << "; its open alerts are cleared\n";
}

void add_conditions(CLI::App& command, RuleArguments& arguments, bool is_new) {
  command.add_option("--metric", arguments.metric, "metric whose readings are looked at")->required(is_new);
  command.add_option("--raise", arguments.raise, "condition over `value` that raises the alert, as 'value > 30'")
      ->required(is_new);
  command.add_option("--clear", arguments.clear, "condition that clears it (when --raise is not true)");
  command.add_option("--device-prefix", arguments.prefix, "only devices whose id starts with it (all)");
  command.add_option("--severity", arguments.severity, "info, warning or critical (warning)")
      ->check(one_of({"info", "warning", "critical"}));
  command.add_option("--description", arguments.description, "for people");
}

}  // namespace

void add_rule_commands(CLI::App& app, Session& session) {
  CLI::App* group =
      add_group(app, "rule", "create, update, list, show, delete, enable, disable rules that raise alerts");
  auto arguments = std::make_shared<RuleArguments>();
  const auto with = [&session, arguments](auto function) {
    return [&session, arguments, function] { function(session, *arguments); };
  };
  const auto add = [&](const char* name, const char* description, const char* example, auto function) {
    CLI::App* command = add_command(*group, session, name, description, example, with(function));
    command->add_option("RULE", arguments->rule, "its id")->required();
    add_format_option(*command, arguments->format, {"table", "json"});
    return command;
  };
  CLI::App* create =
      add("create", "create a rule; its conditions are checked before it is accepted",
          "  millrace rule create too-hot --metric temperature --raise 'value > 30' --clear 'value < 28'\n"
          "  millrace rule create fault --metric status.state --raise \"value == 'fault'\" --severity critical",
          create_rule);
  add_conditions(*create, *arguments, true);
  create->add_flag("--disabled", arguments->disabled, "it raises nothing until it is enabled");
  CLI::App* update = add("update", "change what is given of a rule; open alerts stay open",
                         "  millrace rule update too-hot --raise 'value > 35' --severity critical", update_rule);
  add_conditions(*update, *arguments, false);
  CLI::Option* off =
      update->add_flag("--disabled", arguments->disabled, "it raises nothing; its open alerts are cleared");
  update->add_flag("--enabled", arguments->enabled, "it raises alerts again")->excludes(off);
  CLI::App* list =
      add_command(*group, session, "list", "list the tenant's rules", "  millrace rule list", with(list_rules));
  add_format_option(*list, arguments->format, {"table", "json"});
  add("show", "show one rule", "  millrace rule show too-hot --json", show_rule);
  add("enable", "let a rule raise alerts", "  millrace rule enable too-hot", enable_rule);
  add("disable", "a disabled rule raises nothing; its open alerts are cleared", "  millrace rule disable too-hot",
      disable_rule);
  CLI::App* remove = add_command(*group, session, "delete", "delete a rule; its open alerts are cleared",
                                 "  millrace rule delete too-hot", with(delete_rule));
  remove->add_option("RULE", arguments->rule, "its id")->required();
}

}  // namespace millrace::cli
