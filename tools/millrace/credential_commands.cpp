#include <memory>

#include <CLI/CLI.hpp>

#include <millrace/base/digest.hpp>

#include "client.hpp"
#include "command_error.hpp"
#include "command_line.hpp"
#include "format_option.hpp"
#include "millrace/registry/v1/registry.grpc.pb.h"
#include "secret_input.hpp"
#include "text.hpp"
#include "window_text.hpp"

namespace millrace::cli {
namespace {

namespace api = registry::v1;
using Service = api::RegistryService;
using Registry = Client<Service>;
constexpr const char* kDeviceHint = "`millrace device list` shows the devices";
constexpr const char* kHint = "`millrace credential list DEVICE` shows what there is";

struct CredentialArguments {
  std::string device;
  std::string id;
  bool token = false;
  std::string password_file;
  std::string certificate_file;
  WindowOptions window;
  Format format = Format::kTable;
};

std::string kind_text(api::CredentialKind kind) {
  if (kind == api::CREDENTIAL_KIND_TOKEN) return "token";
  if (kind == api::CREDENTIAL_KIND_PASSWORD) return "password";
  if (kind == api::CREDENTIAL_KIND_CERTIFICATE) return "certificate";
  return "unknown";
}

std::string members(const api::CredentialInfo& credential) {
  std::string text = "\"id\":" + json_string(credential.credential_id()) +
                     ",\"kind\":" + json_string(kind_text(credential.kind())) +
                     window_json(credential.not_before_us(), credential.not_after_us());
  if (!credential.certificate_sha256().empty())
    text += ",\"certificate_sha256\":" + json_string(to_hex(credential.certificate_sha256()));
  return text;
}

template <class Request>
Request request_for(const Session& session, const CredentialArguments& arguments) {
  Request request;
  request.set_tenant(session.settings.tenant);
  request.set_device(arguments.device);
  return request;
}

void add_credential(Session& session, const CredentialArguments& arguments) {
  auto request = request_for<api::AddCredentialRequest>(session, arguments);
  if (!arguments.password_file.empty())
    request.set_password(read_secret("--password-file", arguments.password_file, session.in()));
  if (!arguments.certificate_file.empty())
    request.set_certificate_pem(read_input("--certificate", arguments.certificate_file, session.in()));
  request.set_not_before_us(arguments.window.begin());
  request.set_not_after_us(arguments.window.end());
  const auto added =
      Registry(session.settings, Target::kRegistry).call(&Service::StubInterface::AddCredential, request, kDeviceHint);
  if (arguments.format == Format::kJson) {
    session.out() << "{\"device\":" << json_string(arguments.device) << ',' << members(added.credential());
    if (!added.token().empty()) session.out() << ",\"token\":" << json_string(added.token());
    session.out() << "}\n";
    return;
  }
  session.out() << "added " << kind_text(added.credential().kind()) << ' ' << added.credential().credential_id()
                << " to device " << arguments.device;
  if (added.token().empty())
    session.out() << '\n';
  else
    session.out() << "; it is shown only now:\n" << added.token() << '\n';
}

void list_credentials(Session& session, const CredentialArguments& arguments) {
  const auto answer = Registry(session.settings, Target::kRegistry)
                          .call(&Service::StubInterface::ListCredentials,
                                request_for<api::ListCredentialsRequest>(session, arguments), kDeviceHint);
  if (arguments.format == Format::kJson) {
    session.out() << '[';
    for (int i = 0; i < answer.credentials_size(); ++i)
      session.out() << (i == 0 ? "{" : ",\n{") << members(answer.credentials(i)) << '}';
    session.out() << "]\n";
    return;
  }
  Table table({"ID", "KIND", "NOT BEFORE", "NOT AFTER", "CERTIFICATE SHA-256"});
  for (const auto& one : answer.credentials()) {
    table.add({one.credential_id(), kind_text(one.kind()), bound_text(one.not_before_us()),
               bound_text(one.not_after_us()), to_hex(one.certificate_sha256())});
  }
  table.print(session.out());
}

void remove_credential(Session& session, const CredentialArguments& arguments) {
  auto request = request_for<api::RemoveCredentialRequest>(session, arguments);
  request.set_credential_id(arguments.id);
  static_cast<void>(
      Registry(session.settings, Target::kRegistry).call(&Service::StubInterface::RemoveCredential, request, kHint));
  session.out() << "removed " << arguments.id << " from device " << arguments.device << '\n';
}

void add_proof_options(CLI::App& command, CredentialArguments& arguments) {
  CLI::App* proof = command.add_option_group("What the device shows");
  proof->add_flag("--token", arguments.token, "a token, drawn by the registry and shown once");
  proof->add_option("--password-file", arguments.password_file,
                    "file with a password of 8 to 1024 bytes; -: standard input");
  proof->add_option("--certificate", arguments.certificate_file,
                    "PEM file of the device's certificate, whoever signed it; -: standard input");
  proof->require_option(1);
}

}  // namespace

void add_credential_commands(CLI::App& app, Session& session) {
  CLI::App* group =
      add_group(app, "credential", "add, list, remove what a device shows: tokens, passwords, certificates");
  auto arguments = std::make_shared<CredentialArguments>();
  const auto with = [&session, arguments](auto function) {
    return [&session, arguments, function] { function(session, *arguments); };
  };
  CLI::App* add = add_command(*group, session, "add", "add a token, a password or a certificate; the others stay valid",
                              "  millrace credential add meter-1 --token --not-after 90d\n"
                              "  millrace credential add meter-1 --password-file meter-1.password\n"
                              "  millrace credential add meter-1 --certificate meter-1.pem",
                              with(add_credential));
  add->add_option("DEVICE", arguments->device, "device id")->required();
  add_proof_options(*add, *arguments);
  add_window_options(*add, arguments->window);
  add_format_option(*add, arguments->format, {"table", "json"});
  CLI::App* list = add_command(*group, session, "list", "list them without their secrets, plain tokens too",
                               "  millrace credential list meter-1", with(list_credentials));
  list->add_option("DEVICE", arguments->device, "device id")->required();
  add_format_option(*list, arguments->format, {"table", "json"});
  CLI::App* remove =
      add_command(*group, session, "remove", "remove one; live sessions that came in by it end within a second",
                  "  millrace credential remove meter-1 c2", with(remove_credential));
  remove->add_option("DEVICE", arguments->device, "device id")->required();
  remove->add_option("ID", arguments->id, "its id in the list: c2, t0123456789abcdef")->required();
}

}  // namespace millrace::cli
