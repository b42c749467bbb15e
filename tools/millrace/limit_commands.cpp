#include <memory>

#include <CLI/CLI.hpp>

#include "client.hpp"
#include "command_line.hpp"
#include "format_option.hpp"
#include "limit_text.hpp"
#include "millrace/query/v1/query.grpc.pb.h"
#include "millrace/registry/v1/registry.grpc.pb.h"
#include "text.hpp"

namespace millrace::cli {
namespace {

namespace api = registry::v1;
using Service = api::RegistryService;
using Registry = Client<Service>;

/// What the options of `set` said, for one api::Limits.
struct LimitOptions {
  std::string messages;
  std::string bytes;
  std::string points;
  std::string connects;
  std::uint32_t connections = 0;
};

struct LimitArguments {
  LimitOptions total;
  LimitOptions device;
  std::string id;
  Format format = Format::kTable;
};

void read_rate(const std::string& text, api::RateLimit* (api::Limits::*field)(), api::Limits& limits) {
  if (!text.empty()) *(limits.*field)() = parse_rate(text);
}

api::Limits limits_of(const LimitOptions& options) {
  api::Limits limits;
  read_rate(options.messages, &api::Limits::mutable_messages, limits);
  read_rate(options.bytes, &api::Limits::mutable_bytes, limits);
  read_rate(options.points, &api::Limits::mutable_points, limits);
  read_rate(options.connects, &api::Limits::mutable_connects, limits);
  limits.set_connections(options.connections);
  return limits;
}

void print(Session& session, const api::LimitsEntry& entry, Format format) {
  if (format == Format::kJson) {
    session.out() << limits_json(entry) << '\n';
    return;
  }
  Table table({"OF", "LIMIT", "PER SECOND", "BURST"});
  add_limits(table, "tenant", entry.tenant_total());
  add_limits(table, "each device", entry.device_default());
  add_limits(table, "device " + entry.device(), entry.device_override());
  if (table.empty()) {
    session.out() << "no limits are set\n";
    return;
  }
  table.print(session.out());
}

void set_tenant(Session& session, const LimitArguments& arguments) {
  api::SetTenantLimitsRequest request;
  request.set_tenant(session.settings.tenant);
  const api::Limits total = limits_of(arguments.total);
  if (total.ByteSizeLong() != 0) *request.mutable_tenant_total() = total;
  *request.mutable_device_default() = limits_of(arguments.device);
  print(session, Registry(session.settings, Target::kRegistry).call(&Service::StubInterface::SetTenantLimits, request),
        arguments.format);
}

void set_device(Session& session, const LimitArguments& arguments) {
  api::SetDeviceLimitsRequest request;
  request.set_tenant(session.settings.tenant);
  request.set_device(arguments.id);
  *request.mutable_limits() = limits_of(arguments.device);
  print(session, Registry(session.settings, Target::kRegistry).call(&Service::StubInterface::SetDeviceLimits, request),
        arguments.format);
}

std::string use_json(const query::v1::GetLimitUseResponse& use) {
  std::string limits;
  for (const auto& entry : use.entries()) {
    limits += (limits.empty() ? "" : ",") + json_string(entry.limit()) + ":{";
    if (entry.per_second() > 0) limits += "\"per_second\":" + number_json(entry.per_second()) + ",";
    limits += "\"burst\":" + number_json(entry.burst()) + ",\"left\":" + number_json(entry.left()) + "}";
  }
  return "{\"limits\":{" + limits + "},\"connections\":" + std::to_string(use.connections()) +
         ",\"dropped\":" + std::to_string(use.dropped()) + "}";
}

void show(Session& session, const LimitArguments& arguments) {
  query::v1::GetLimitUseRequest request;
  request.set_tenant(session.settings.tenant);
  request.set_device(arguments.id);
  const auto use = Client<query::v1::QueryService>(session.settings, Target::kQuery)
                       .call(&query::v1::QueryService::StubInterface::GetLimitUse, request);
  if (arguments.format == Format::kJson) {
    session.out() << use_json(use) << '\n';
    return;
  }
  Table table({"LIMIT", "PER SECOND", "BURST", "LEFT"});
  for (const auto& entry : use.entries()) {
    table.add({entry.limit(), entry.per_second() > 0 ? rounded_text(entry.per_second()) : "",
               rounded_text(entry.burst()), rounded_text(entry.left())});
  }
  if (table.empty()) {
    session.out() << "no limits are set\n";
    return;
  }
  table.print(session.out());
  if (use.dropped() > 0) session.out() << use.dropped() << " messages of QoS 0 were dropped\n";
}

void add_limit_options(CLI::App& command, LimitOptions& options, const std::string& prefix, const std::string& whose) {
  const std::string rate = " a second of " + whose + ", N or N:BURST";
  command.add_option("--" + prefix + "messages", options.messages, "messages" + rate);
  command.add_option("--" + prefix + "bytes", options.bytes, "bytes of payload" + rate);
  command.add_option("--" + prefix + "points", options.points, "points" + rate);
  command.add_option("--" + prefix + "connects", options.connects, "MQTT connects" + rate);
  command.add_option("--" + prefix + "connections", options.connections, "open MQTT connections of " + whose);
}

}  // namespace

void add_limit_commands(CLI::App& app, Session& session) {
  CLI::App* group = add_group(app, "limits", "set and show how much tenants and devices may send");
  auto arguments = std::make_shared<LimitArguments>();
  const auto with = [&session, arguments](auto function) {
    return [&session, arguments, function] { function(session, *arguments); };
  };
  CLI::App* set = add_group(*group, "set", "replace the limits of the tenant or of one device");
  CLI::App* tenant = add_command(
      *set, session, "tenant", "of the tenant, and of each device that has none of its own; options left out: no limit",
      "  millrace limits set tenant --device-messages 10:50 --device-connections 2\n"
      "  millrace limits set tenant --messages 5000 --bytes 2000000 --device-messages 10   (platform admin)",
      with(set_tenant));
  add_limit_options(*tenant, arguments->total, "", "the whole tenant");
  add_limit_options(*tenant, arguments->device, "device-", "each device");
  add_format_option(*tenant, arguments->format, {"table", "json"});
  CLI::App* device =
      add_command(*set, session, "device", "of one device; options left out: as for each device of the tenant",
                  "  millrace limits set device meter-1 --messages 100:500", with(set_device));
  device->add_option("DEVICE", arguments->id, "device id")->required();
  add_limit_options(*device, arguments->device, "", "the device");
  add_format_option(*device, arguments->format, {"table", "json"});
  CLI::App* shown = add_group(*group, "show", "what holds, and what is left of it");
  CLI::App* of_tenant = add_command(*shown, session, "tenant", "of all devices of the tenant together",
                                    "  millrace limits show tenant", with(show));
  add_format_option(*of_tenant, arguments->format, {"table", "json"});
  CLI::App* of_device =
      add_command(*shown, session, "device", "of one device: its own, else those of each device of the tenant",
                  "  millrace limits show device meter-1", with(show));
  of_device->add_option("DEVICE", arguments->id, "device id")->required();
  add_format_option(*of_device, arguments->format, {"table", "json"});
}

}  // namespace millrace::cli
