// What the registry says of a device beyond its credentials: `millrace device children`, `topics` and `ack`.
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
constexpr const char* kHint = "`millrace device list` shows the devices";

struct AccessArguments {
  std::string device;
  std::vector<std::string> children;
  TopicOptions topics;
  std::string level;
  bool none = false;
  Format format = Format::kTable;
};

// A forgotten argument must not take everything away.
void check_some(bool some, bool none, const std::string& what) {
  if (some == none)
    throw usage_error(some ? "--none and " + what + " exclude each other" : "no " + what + " are named",
                      "name them, or take all away with --none");
}

template <class Request>
Request request_for(const Session& session, const AccessArguments& arguments) {
  Request request;
  request.set_tenant(session.settings.tenant);
  request.set_device(arguments.device);
  return request;
}

api::GetDeviceAccessResponse get(Session& session, const AccessArguments& arguments) {
  return Registry(session.settings, Target::kRegistry)
      .call(&Service::StubInterface::GetDeviceAccess, request_for<api::GetDeviceAccessRequest>(session, arguments),
            kHint);
}

void show_children(Session& session, const AccessArguments& arguments) {
  const auto access = get(session, arguments);
  if (arguments.format == Format::kJson) {
    std::string text;
    for (const std::string& child : access.children()) text += (text.empty() ? "" : ",") + json_string(child);
    session.out() << '[' << text << "]\n";
    return;
  }
  for (const std::string& child : access.children()) session.out() << printable(child) << '\n';
}

void show_topics(Session& session, const AccessArguments& arguments) {
  const auto access = get(session, arguments);
  if (arguments.format == Format::kJson)
    session.out() << topics_json(access.topics()) << '\n';
  else
    topic_table(access.topics()).print(session.out());
}

void set_children(Session& session, const AccessArguments& arguments) {
  check_some(!arguments.children.empty(), arguments.none, "children");
  auto request = request_for<api::SetDeviceChildrenRequest>(session, arguments);
  request.mutable_children()->Assign(arguments.children.begin(), arguments.children.end());
  static_cast<void>(
      Registry(session.settings, Target::kRegistry).call(&Service::StubInterface::SetDeviceChildren, request, kHint));
  session.out() << "device " << arguments.device << " publishes for " << request.children_size()
                << (request.children_size() == 1 ? " child\n" : " children\n");
}

void set_topics(Session& session, const AccessArguments& arguments) {
  auto request = request_for<api::SetDeviceTopicsRequest>(session, arguments);
  *request.mutable_topics() = arguments.topics.rules();
  check_some(!request.topics().empty(), arguments.none, "topic filters");
  static_cast<void>(
      Registry(session.settings, Target::kRegistry).call(&Service::StubInterface::SetDeviceTopics, request, kHint));
  session.out() << "device " << arguments.device
                << (request.topics().empty() ? " has the topics of its tenant's policy\n" : " has these topics:\n");
  if (!request.topics().empty()) topic_table(request.topics()).print(session.out());
}

void set_ack(Session& session, const AccessArguments& arguments) {
  auto request = request_for<api::SetDeviceAckLevelRequest>(session, arguments);
  if (arguments.level.empty() != arguments.none)
    throw usage_error(arguments.none ? "--none and LEVEL exclude each other" : "a LEVEL is wanted, or --none",
                      "name bus or stored, or --none for what the tenant's policy says");
  if (!arguments.none) request.set_ack_level(arguments.level == "stored" ? api::ACK_LEVEL_STORED : api::ACK_LEVEL_BUS);
  static_cast<void>(
      Registry(session.settings, Target::kRegistry).call(&Service::StubInterface::SetDeviceAckLevel, request, kHint));
  session.out() << "device " << arguments.device << " has the ack level "
                << (arguments.none ? "of its tenant's policy" : arguments.level) << '\n';
}

void show_ack(Session& session, const AccessArguments& arguments) {
  const auto level = get(session, arguments).ack_level();
  const char* name = level == api::ACK_LEVEL_STORED ? "stored" : level == api::ACK_LEVEL_BUS ? "bus" : "";
  if (arguments.format == Format::kJson)
    session.out() << "{\"ack\":" << (*name == '\0' ? "null" : json_string(name)) << "}\n";
  else
    session.out() << (*name == '\0' ? "as the tenant's policy says" : name) << '\n';
}

using Arguments = std::shared_ptr<AccessArguments>;

struct Words {
  const char* set;
  const char* show;
  const char* none;
};
constexpr Words kList{"replace all of them", "show them", "take all of them away"};

CLI::App* add_pair(CLI::App& group, Session& session, const Arguments& arguments, Words words,
                   const std::string& example, void (*set)(Session&, const AccessArguments&),
                   void (*show)(Session&, const AccessArguments&)) {
  const auto with = [&session, arguments](auto function) {
    return [&session, arguments, function] { function(session, *arguments); };
  };
  const std::string path = "  millrace device " + group.get_name();
  CLI::App* setting = add_command(group, session, "set", words.set, path + " set " + example, with(set));
  setting->add_option("DEVICE", arguments->device, "device id")->required();
  setting->add_flag("--none", arguments->none, words.none);
  CLI::App* shown = add_command(group, session, "show", words.show, path + " show gateway-1", with(show));
  shown->add_option("DEVICE", arguments->device, "device id")->required();
  add_format_option(*shown, arguments->format, {"table", "json"});
  return setting;
}

}  // namespace

void add_access_commands(CLI::App& group, Session& session) {
  auto arguments = std::make_shared<AccessArguments>();
  CLI::App* children = add_group(group, "children", "devices that a gateway device publishes for");
  CLI::App* set = add_pair(*children, session, arguments, kList, "gateway-1 meter-1 meter-2 'hall-7-*'", set_children,
                           show_children);
  set->add_option("CHILD", arguments->children, "device ids, and beginnings of ids with a * behind");
  CLI::App* topics = add_group(group, "topics", "local topics of a device, in place of those of the tenant's policy");
  add_topic_options(*add_pair(*topics, session, arguments, kList, "gateway-1 --subscribe news/# --both 'chat/{device}'",
                              set_topics, show_topics),
                    arguments->topics);
  CLI::App* ack = add_group(group, "ack", "when a device's messages are acknowledged, in place of the tenant's policy");
  const Words one{"set it", "show it", "what the tenant's policy says"};
  add_pair(*ack, session, arguments, one, "meter-1 stored", set_ack, show_ack)
      ->add_option("LEVEL", arguments->level, "bus: when Kafka has it; stored: when the database has its points")
      ->check(one_of({"bus", "stored"}));
}

}  // namespace millrace::cli
