#include <memory>

#include <CLI/CLI.hpp>

#include "checks.hpp"
#include "client.hpp"
#include "command_error.hpp"
#include "command_line.hpp"
#include "format_option.hpp"
#include "millrace/registry/v1/registry.grpc.pb.h"
#include "text.hpp"
#include "topic_rules.hpp"

namespace millrace::cli {
namespace {

namespace api = registry::v1;
using Service = api::RegistryService;
using Registry = Client<Service>;

struct PolicyArguments {
  TopicOptions topics;
  bool receipts = false;
  std::string ack = "bus";
  bool none = false;
  Format format = Format::kTable;
};

const char* ack_of(const api::PolicyEntry& policy) {
  return policy.ack_level() == api::ACK_LEVEL_STORED ? "stored" : "bus";
}

void print(Session& session, const api::PolicyEntry& policy, Format format) {
  if (format == Format::kJson) {
    session.out() << "{\"tenant\":" << json_string(policy.tenant())
                  << ",\"device_topics\":" << topics_json(policy.device_topics())
                  << ",\"receipts\":" << (policy.receipts() ? "true" : "false") << ",\"ack\":\"" << ack_of(policy)
                  << "\"}\n";
    return;
  }
  session.out() << "local topics of devices: " << (policy.device_topics().empty() ? "none" : "these") << '\n';
  if (!policy.device_topics().empty()) topic_table(policy.device_topics()).print(session.out());
  session.out() << "receipts with each acknowledgement: " << (policy.receipts() ? "yes" : "where they are asked for")
                << '\n'
                << "acknowledged when a message is in: "
                << (policy.ack_level() == api::ACK_LEVEL_STORED ? "the database" : "Kafka") << " (ack level "
                << ack_of(policy) << ")\n";
}

void set_policy(Session& session, const PolicyArguments& arguments) {
  api::SetPolicyRequest request;
  api::PolicyEntry& policy = *request.mutable_policy();
  policy.set_tenant(session.settings.tenant);
  *policy.mutable_device_topics() = arguments.topics.rules();
  policy.set_receipts(arguments.receipts);
  if (arguments.ack == "stored") policy.set_ack_level(api::ACK_LEVEL_STORED);
  const bool some = !policy.device_topics().empty() || policy.receipts() || policy.ack_level() == api::ACK_LEVEL_STORED;
  if (some == arguments.none) {
    throw usage_error(some ? "--none excludes everything else" : "the policy would be empty",
                      "say what it lets devices do, or take it away with --none");
  }
  print(session, Registry(session.settings, Target::kRegistry).call(&Service::StubInterface::SetPolicy, request),
        arguments.format);
}

void show_policy(Session& session, const PolicyArguments& arguments) {
  api::GetPolicyRequest request;
  request.set_tenant(session.settings.tenant);
  print(session, Registry(session.settings, Target::kRegistry).call(&Service::StubInterface::GetPolicy, request),
        arguments.format);
}

}  // namespace

void add_policy_commands(CLI::App& app, Session& session) {
  CLI::App* group = add_group(app, "policy", "set and show what the tenant lets its devices do");
  auto arguments = std::make_shared<PolicyArguments>();
  const auto with = [&session, arguments](auto function) {
    return [&session, arguments, function] { function(session, *arguments); };
  };
  CLI::App* set = add_command(*group, session, "set", "replace it as a whole (needs an admin key)",
                              "  millrace policy set --subscribe 'news/#' --both 'chat/{device}' --receipts\n"
                              "  millrace policy set --ack stored\n"
                              "  millrace policy set --none",
                              with(set_policy));
  add_topic_options(*set, arguments->topics);
  set->add_flag("--receipts", arguments->receipts, "MQTT 5 clients get receipts without asking");
  set->add_option("--ack", arguments->ack, "when messages that do not say it themselves are acknowledged: bus, stored")
      ->check(one_of({"bus", "stored"}))
      ->capture_default_str();
  set->add_flag("--none", arguments->none, "no policy: devices have their own topics and nothing else");
  add_format_option(*set, arguments->format, {"table", "json"});
  CLI::App* show = add_command(*group, session, "show", "show it", "  millrace policy show", with(show_policy));
  add_format_option(*show, arguments->format, {"table", "json"});
}

}  // namespace millrace::cli
