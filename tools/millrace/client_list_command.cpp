// `millrace presence`: the same as `millrace admin presence` for the holder of a key, from query-api.
#include <memory>
#include <utility>

#include <CLI/CLI.hpp>

#include "client.hpp"
#include "command_line.hpp"
#include "format_option.hpp"
#include "millrace/query/v1/query.grpc.pb.h"
#include "presence_text.hpp"
#include "text.hpp"

namespace millrace::cli {
namespace {

namespace api = query::v1;

struct ClientListArguments {
  std::vector<std::string> devices;
  std::string gateway;
  bool online = false;
  Format format = Format::kTable;
};

void list_clients(Session& session, const ClientListArguments& arguments) {
  Client<api::QueryService> query(session.settings, Target::kQuery);
  api::ListPresenceRequest request;
  request.set_tenant(session.settings.tenant);
  for (const std::string& device : arguments.devices) request.add_devices(device);
  request.set_gateway(arguments.gateway);
  if (arguments.online) request.set_state(devices::v1::PRESENCE_STATE_CONNECTED);
  request.set_page_size(1'000);
  Table table(presence_heading());
  do {
    const auto page = query.call(&api::QueryService::StubInterface::ListPresence, request,
                                 "`millrace device list` shows the devices");
    for (const auto& client : page.clients()) {
      const PresenceRoll::Entry entry{client.epoch(), client};
      if (arguments.format == Format::kJson) {
        session.out() << presence_json(entry) << '\n';
      } else {
        std::vector<std::string> row = presence_row(entry);
        row.front() = client.device();  // all of them are the tenant's
        table.add(std::move(row));
      }
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  if (arguments.format != Format::kJson) table.print(session.out());
}

}  // namespace

void add_client_list_command(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<ClientListArguments>();
  CLI::App* command =
      add_command(app, session, "presence", "which devices are connected over MQTT, and how and when the others went",
                  "  millrace presence --online\n"
                  "  millrace presence meter-1 --json      one object a line\n"
                  "`millrace admin presence --follow` prints what happens from now on.",
                  [&session, arguments] { list_clients(session, *arguments); });
  command->add_option("DEVICE", arguments->devices, "only these");
  command->add_option("--gateway", arguments->gateway, "only connections of the gateway of this name");
  command->add_flag("--online", arguments->online, "only those that are connected");
  add_format_option(*command, arguments->format, {"table", "json"});
}

}  // namespace millrace::cli
