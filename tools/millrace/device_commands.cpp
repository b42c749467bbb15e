#include <limits>
#include <memory>

#include <CLI/CLI.hpp>

#include <millrace/base/time.hpp>

#include "checks.hpp"
#include "client.hpp"
#include "command_error.hpp"
#include "command_line.hpp"
#include "format_option.hpp"
#include "import/device_import.hpp"
#include "millrace/registry/v1/registry.grpc.pb.h"
#include "text.hpp"
#include "type_commands.hpp"

namespace millrace::cli {
namespace {

namespace api = registry::v1;
using Service = api::RegistryService;
using Registry = Client<Service>;
constexpr const char* kHint = "`millrace device list` shows the devices";

struct DeviceArguments {
  std::string device;
  std::string attributes;
  std::string type;
  std::string prefix;
  std::int64_t limit = std::numeric_limits<std::int64_t>::max();
  Format format = Format::kTable;
  bool only_ids = false;
  bool skip_existing = false;
  ImportArguments import;
};

std::string json_of(const api::Device& device) {
  const std::string& attributes = device.attributes_json();
  return "{\"device\":" + json_string(device.device()) + ",\"tenant\":" + json_string(device.tenant()) +
         ",\"key\":" + std::to_string(device.device_key()) + ",\"enabled\":" + (device.enabled() ? "true" : "false") +
         ",\"tokens\":" + std::to_string(device.tokens()) + ",\"type\":" + json_string(device.type()) +
         ",\"created\":" + json_string(format_rfc3339(device.created_at_us())) +
         ",\"attributes\":" + (attributes.empty() ? "{}" : attributes) + "}";
}

void add_row(Table& table, const api::Device& device) {
  table.add({device.device(), device.enabled() ? "yes" : "no", std::to_string(device.tokens()), device.type(),
             format_rfc3339(device.created_at_us()), printable(device.attributes_json())});
}

Table device_table() { return Table({"DEVICE", "ENABLED", "TOKENS", "TYPE", "CREATED", "ATTRIBUTES"}); }

void print_one(Session& session, const DeviceArguments& arguments, const api::Device& device) {
  if (arguments.format == Format::kJson) {
    session.out() << json_of(device) << '\n';
    return;
  }
  Table table = device_table();
  add_row(table, device);
  table.print(session.out());
}

template <class Request>
Request request_for(const Session& session, const DeviceArguments& arguments) {
  Request request;
  request.set_tenant(session.settings.tenant);
  request.set_device(arguments.device);
  return request;
}

void print_token(Session& session, const DeviceArguments& arguments, const std::string& token, std::string_view done) {
  if (arguments.format == Format::kJson) {
    session.out() << "{\"device\":" << json_string(arguments.device) << ",\"token\":" << json_string(token) << "}\n";
  } else {
    session.out() << done << ' ' << arguments.device << "; its token is shown only now:\n" << token << '\n';
  }
}

void create_device(Session& session, const DeviceArguments& arguments) {
  auto request = request_for<api::CreateDeviceRequest>(session, arguments);
  request.set_attributes_json(arguments.attributes);
  request.set_type(arguments.type);
  const auto created =
      Registry(session.settings, Target::kRegistry).call(&Service::StubInterface::CreateDevice, request);
  print_token(session, arguments, created.token(), "created device");
}

void add_token(Session& session, const DeviceArguments& arguments) {
  const auto added = Registry(session.settings, Target::kRegistry)
                         .call(&Service::StubInterface::AddDeviceToken,
                               request_for<api::AddDeviceTokenRequest>(session, arguments), kHint);
  print_token(session, arguments, added.token(), "added a token to device");
}

void show_device(Session& session, const DeviceArguments& arguments) {
  print_one(
      session, arguments,
      Registry(session.settings, Target::kRegistry)
          .call(&Service::StubInterface::GetDevice, request_for<api::GetDeviceRequest>(session, arguments), kHint));
}

void set_enabled(Session& session, const DeviceArguments& arguments, bool enabled) {
  auto request = request_for<api::SetDeviceEnabledRequest>(session, arguments);
  request.set_enabled(enabled);
  print_one(
      session, arguments,
      Registry(session.settings, Target::kRegistry).call(&Service::StubInterface::SetDeviceEnabled, request, kHint));
}

void enable_device(Session& session, const DeviceArguments& arguments) { set_enabled(session, arguments, true); }
void disable_device(Session& session, const DeviceArguments& arguments) { set_enabled(session, arguments, false); }

void delete_device(Session& session, const DeviceArguments& arguments) {
  static_cast<void>(Registry(session.settings, Target::kRegistry)
                        .call(&Service::StubInterface::DeleteDevice,
                              request_for<api::DeleteDeviceRequest>(session, arguments), kHint));
  session.out() << "deleted device " << arguments.device << '\n';
}

void list_devices(Session& session, const DeviceArguments& arguments) {
  Registry registry(session.settings, Target::kRegistry);
  api::ListDevicesRequest request;
  request.set_tenant(session.settings.tenant);
  request.set_prefix(arguments.prefix);
  Table table = device_table();
  std::int64_t left = arguments.limit;
  bool first = true;
  const bool json = arguments.format == Format::kJson;
  if (json) session.out() << '[';
  do {
    request.set_page_size(static_cast<std::int32_t>(std::min<std::int64_t>(left, 1'000)));
    const auto page = registry.call(&Service::StubInterface::ListDevices, request);
    for (const auto& device : page.devices()) {
      if (arguments.only_ids) {
        session.out() << device.device() << '\n';
      } else if (json) {
        session.out() << (first ? "" : ",\n") << json_of(device);
      } else {
        add_row(table, device);
      }
      first = false;
    }
    left -= page.devices_size();
    request.set_page_token(page.next_page_token());
  } while (left > 0 && !request.page_token().empty());
  if (json) session.out() << "]\n";
  if (!json && !arguments.only_ids) table.print(session.out());
}

void import_file(Session& session, const DeviceArguments& arguments) {
  ImportArguments import = arguments.import;
  import.existing = arguments.skip_existing ? ExistingDevices::kSkip : ExistingDevices::kRefuse;
  import_devices(session, import);
}

using Arguments = std::shared_ptr<DeviceArguments>;

void add_single_commands(CLI::App& group, Session& session, const Arguments& arguments) {
  struct Single {
    const char* name;
    const char* description;
    void (*run)(Session&, const DeviceArguments&);
  };
  for (const Single& single :
       {Single{"create", "create a device and its first token", create_device},
        Single{"show", "show one device", show_device}, Single{"enable", "let it in again", enable_device},
        Single{"disable", "turn it away; its live sessions end within a second", disable_device},
        Single{"token", "add a further token; the others stay valid", add_token},
        Single{"delete", "delete a device and its tokens", delete_device}}) {
    const std::string name = single.name;
    std::string examples = "  millrace device " + name + " meter-1";
    if (name == "create") examples += "\n  millrace device create meter-1 --attributes '{\"site\":\"north\"}' --json";
    CLI::App* command = add_command(group, session, name, single.description, examples,
                                    [&session, arguments, run = single.run] { run(session, *arguments); });
    command->add_option("DEVICE", arguments->device, "1 to 64 of A-Za-z0-9._:-")->required();
    if (name == "create") {
      command->add_option("--attributes", arguments->attributes, "a JSON object");
      command->add_option("--type", arguments->type, "one of `millrace type list`");
    }
    if (name != "delete") add_format_option(*command, arguments->format, {"table", "json"});
  }
}

}  // namespace

void add_device_commands(CLI::App& app, Session& session) {
  CLI::App* group = add_group(app, "device", "create, list, show, enable, disable, delete, import devices");
  auto arguments = std::make_shared<DeviceArguments>();
  add_single_commands(*group, session, arguments);
  add_access_commands(*group, session);
  add_type_of_device_command(*group, session);
  CLI::App* list =
      add_command(*group, session, "list", "list devices", "  millrace device list --prefix meter- --limit 20",
                  [&session, arguments] { list_devices(session, *arguments); });
  list->add_option("--prefix", arguments->prefix, "only ids that start with this");
  list->add_option("--limit", arguments->limit, "at most so many")->check(at_least(1));
  list->add_flag("--ids", arguments->only_ids, "only the ids, a line each");
  add_format_option(*list, arguments->format, {"table", "json"});
  CLI::App* import = add_command(
      *group, session, "import", "create the devices of a CSV file; their tokens go to a file of mode 0600",
      "  millrace device import fleet.csv                 tokens in fleet.tokens.csv (device,token)\n"
      "  millrace device import fleet.csv --tokens t.csv --skip-existing\n"
      "The file: a device's id in each line; or a first line device,<attribute>,... and attributes behind the id.\n"
      "Ended before its end, the same call goes on; every device gets its line in the tokens file.",
      [&session, arguments] { import_file(session, *arguments); });
  import->add_option("FILE", arguments->import.file, "CSV file")->required();
  import->add_option("--tokens", arguments->import.tokens,
                     "file for the tokens; one of an unfinished import is gone on with");
  import->add_flag("--skip-existing", arguments->skip_existing,
                   "devices that others have made are no error; they get no token");
}

}  // namespace millrace::cli
