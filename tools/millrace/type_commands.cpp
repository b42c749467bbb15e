#include "type_commands.hpp"

#include <map>
#include <memory>

#include <CLI/CLI.hpp>

#include <millrace/telemetry/message_schema.hpp>

#include "checks.hpp"
#include "client.hpp"
#include "format_option.hpp"
#include "millrace/registry/v1/registry.grpc.pb.h"
#include "secret_input.hpp"
#include "text.hpp"

namespace millrace::cli {
namespace {

namespace api = registry::v1;
using Service = api::RegistryService;
using Registry = Client<Service>;
constexpr const char* kHint = "`millrace type list` shows them";

const std::map<std::string, api::PayloadFormat>& formats() {
  static const std::map<std::string, api::PayloadFormat> kFormats{{"json", api::PAYLOAD_FORMAT_JSON},
                                                                  {"cbor", api::PAYLOAD_FORMAT_CBOR},
                                                                  {"senml-json", api::PAYLOAD_FORMAT_SENML_JSON},
                                                                  {"senml-cbor", api::PAYLOAD_FORMAT_SENML_CBOR},
                                                                  {"protobuf", api::PAYLOAD_FORMAT_PROTOBUF},
                                                                  {"text", api::PAYLOAD_FORMAT_TEXT}};
  return kFormats;
}

struct TypeArguments {
  std::string name;
  std::string payload_format;
  std::string descriptor_file;
  std::string message;
  std::string device;
  bool none = false;
  Format format = Format::kTable;
};

std::string format_text(api::PayloadFormat format) {
  for (const auto& [name, value] : formats()) {
    if (value == format) return name;
  }
  return "unknown";
}

std::string json_of(const api::DeviceType& type) {
  std::string zeros;
  for (const std::string& field : type.zero_is_absent()) zeros += (zeros.empty() ? "" : ",") + json_string(field);
  return "{\"type\":" + json_string(type.type()) + ",\"tenant\":" + json_string(type.tenant()) +
         ",\"format\":" + json_string(format_text(type.format())) + ",\"message\":" + json_string(type.message()) +
         ",\"descriptor_set_bytes\":" + std::to_string(type.descriptor_set_bytes()) + ",\"zero_is_absent\":[" + zeros +
         "]}";
}

Table type_table() { return Table({"TYPE", "FORMAT", "MESSAGE", "DESCRIPTOR"}); }

void add_row(Table& table, const api::DeviceType& type) {
  const bool own = type.descriptor_set_bytes() > 0;
  table.add({type.type(), format_text(type.format()), printable(type.message()),
             own ? std::to_string(type.descriptor_set_bytes()) + " bytes" : ""});
}

void set_type(Session& session, const TypeArguments& arguments) {
  api::SetDeviceTypeRequest request;
  api::DeviceTypeEntry& type = *request.mutable_type();
  type.set_tenant(session.settings.tenant);
  type.set_type(arguments.name);
  type.set_format(formats().at(arguments.payload_format));
  type.set_message(arguments.message);
  if (!arguments.descriptor_file.empty()) {
    type.set_descriptor_set(
        read_input("--descriptor", arguments.descriptor_file, session.in(), telemetry::kMaxDescriptorSetBytes));
  }
  const auto answer =
      Registry(session.settings, Target::kRegistry).call(&Service::StubInterface::SetDeviceType, request);
  if (arguments.format == Format::kJson) {
    session.out() << json_of(answer) << '\n';
    return;
  }
  Table table = type_table();
  add_row(table, answer);
  table.print(session.out());
  for (const std::string& field : answer.zero_is_absent())
    session.out() << "note: " << printable(field) << ": 0 is no point; declare it `optional` if it can be 0\n";
}

void list_types(Session& session, const TypeArguments& arguments) {
  api::ListDeviceTypesRequest request;
  request.set_tenant(session.settings.tenant);
  const auto answer =
      Registry(session.settings, Target::kRegistry).call(&Service::StubInterface::ListDeviceTypes, request);
  if (arguments.format == Format::kJson) {
    session.out() << '[';
    for (int i = 0; i < answer.types_size(); ++i) session.out() << (i == 0 ? "" : ",\n") << json_of(answer.types(i));
    session.out() << "]\n";
    return;
  }
  Table table = type_table();
  for (const auto& type : answer.types()) add_row(table, type);
  table.print(session.out());
}

void delete_type(Session& session, const TypeArguments& arguments) {
  api::DeleteDeviceTypeRequest request;
  request.set_tenant(session.settings.tenant);
  request.set_type(arguments.name);
  static_cast<void>(
      Registry(session.settings, Target::kRegistry).call(&Service::StubInterface::DeleteDeviceType, request, kHint));
  session.out() << "deleted device type " << arguments.name << '\n';
}

api::Device type_of(Session& session, const TypeArguments& arguments) {
  Registry registry(session.settings, Target::kRegistry);
  if (arguments.name.empty() && !arguments.none) {
    api::GetDeviceRequest request;
    request.set_tenant(session.settings.tenant);
    request.set_device(arguments.device);
    return registry.call(&Service::StubInterface::GetDevice, request);
  }
  api::SetTypeOfDeviceRequest request;
  request.set_tenant(session.settings.tenant);
  request.set_device(arguments.device);
  request.set_type(arguments.name);
  return registry.call(&Service::StubInterface::SetTypeOfDevice, request, kHint);
}

void type_of_device(Session& session, const TypeArguments& arguments) {
  const api::Device device = type_of(session, arguments);
  if (arguments.format == Format::kJson) {
    session.out() << "{\"device\":" << json_string(device.device()) << ",\"type\":" << json_string(device.type())
                  << "}\n";
  } else if (device.type().empty()) {
    session.out() << "device " << device.device() << " has no type\n";
  } else {
    session.out() << "device " << device.device() << " is of type " << device.type() << '\n';
  }
}

}  // namespace

void add_type_commands(CLI::App& app, Session& session) {
  CLI::App* group = add_group(app, "type", "set, list, delete types of devices (needs an admin key)");
  auto arguments = std::make_shared<TypeArguments>();
  const auto with = [&session, arguments](auto function) {
    return [&session, arguments, function] { function(session, *arguments); };
  };
  CLI::App* set = add_command(*group, session, "set", "say what devices of a type send, or replace it",
                              "  millrace type set thermometer --format cbor\n"
                              "  millrace type set meter --format protobuf --descriptor meter.binpb "
                              "--message acme.Reading\n"
                              "The descriptor: protoc --include_imports --descriptor_set_out=meter.binpb meter.proto",
                              with(set_type));
  set->add_option("NAME", arguments->name, "1 to 64 of A-Za-z0-9._:-")->required();
  set->add_option("--format", arguments->payload_format,
                  "of messages that do not say it: json, cbor, senml-json, senml-cbor, protobuf, text")
      ->required()
      ->check(one_of({"json", "cbor", "senml-json", "senml-cbor", "protobuf", "text"}));
  CLI::Option* descriptor = set->add_option("--descriptor", arguments->descriptor_file,
                                            "file with a google.protobuf.FileDescriptorSet, at most 256 KiB");
  set->add_option("--message", arguments->message, "full name of the message that they send")->needs(descriptor);
  set->add_flag_callback("--json", [arguments] { arguments->format = Format::kJson; }, "what was set as JSON");
  CLI::App* list = add_command(*group, session, "list", "list the tenant's", "  millrace type list", with(list_types));
  add_format_option(*list, arguments->format, {"table", "json"});
  CLI::App* remove = add_command(*group, session, "delete", "delete one that no device has",
                                 "  millrace type delete meter", with(delete_type));
  remove->add_option("NAME", arguments->name, "its name")->required();
}

void add_type_of_device_command(CLI::App& group, Session& session) {
  auto arguments = std::make_shared<TypeArguments>();
  CLI::App* command = add_command(group, session, "type", "show or set which type a device has",
                                  "  millrace device type meter-1\n"
                                  "  millrace device type meter-1 meter\n"
                                  "  millrace device type meter-1 --none",
                                  [&session, arguments] { type_of_device(session, *arguments); });
  command->add_option("DEVICE", arguments->device, "device id")->required();
  CLI::Option* type = command->add_option("TYPE", arguments->name, "one of `millrace type list`");
  command->add_flag("--none", arguments->none, "no type")->excludes(type);
  add_format_option(*command, arguments->format, {"table", "json"});
}

}  // namespace millrace::cli
