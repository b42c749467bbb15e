#include <map>
#include <memory>

#include <CLI/CLI.hpp>

#include <millrace/base/digest.hpp>
#include <millrace/credentials/certificate.hpp>

#include "checks.hpp"
#include "client.hpp"
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
constexpr const char* kHint = "`millrace authority list` shows them";

const std::map<std::string, api::SubjectSource>& sources() {
  static const std::map<std::string, api::SubjectSource> kSources{{"common-name", api::SUBJECT_SOURCE_COMMON_NAME},
                                                                  {"dns-name", api::SUBJECT_SOURCE_DNS_NAME},
                                                                  {"uri", api::SUBJECT_SOURCE_URI},
                                                                  {"email", api::SUBJECT_SOURCE_EMAIL}};
  return kSources;
}

struct AuthorityArguments {
  std::string name;
  std::string certificate_file;
  std::string source = "common-name";
  std::string pattern = "{device}";
  bool provisions = false;
  std::uint32_t most_provisioned = 0;
  bool disabled = false;
  WindowOptions window;
  Format format = Format::kTable;
};

std::string source_text(api::SubjectSource source) {
  for (const auto& [name, value] : sources()) {
    if (value == source) return name;
  }
  return "unknown";
}

std::string provisions_text(const api::AuthorityEntry& authority) {
  if (!authority.provisions()) return "no";
  return authority.most_provisioned() == 0 ? "yes" : "up to " + std::to_string(authority.most_provisioned());
}

/// What the certificate itself says; empty where it cannot be read.
struct CertificateText {
  std::string subject;
  std::string ends;

  explicit CertificateText(const std::string& der) {
    const auto certificate = credentials::Certificate::from_der(der);
    if (!certificate.ok()) return;
    subject = certificate->subject();
    ends = format_rfc3339(certificate->not_after_us());
  }
};

std::string json_of(const api::AuthorityEntry& authority) {
  const CertificateText certificate(authority.certificate());
  return "{\"authority\":" + json_string(authority.authority()) + ",\"tenant\":" + json_string(authority.tenant()) +
         ",\"subject\":" + json_string(certificate.subject) + ",\"certificate_ends\":" + json_string(certificate.ends) +
         ",\"certificate_sha256\":" + json_string(to_hex(bytes_of(sha256(authority.certificate())))) +
         ",\"source\":" + json_string(source_text(authority.source())) +
         ",\"pattern\":" + json_string(authority.pattern()) +
         ",\"provisions\":" + (authority.provisions() ? "true" : "false") +
         ",\"most_provisioned\":" + std::to_string(authority.most_provisioned()) +
         ",\"enabled\":" + (authority.enabled() ? "true" : "false") +
         window_json(authority.not_before_us(), authority.not_after_us()) + "}";
}

Table authority_table() {
  return Table(
      {"AUTHORITY", "SUBJECT", "ENDS", "SOURCE", "PATTERN", "PROVISIONS", "NOT BEFORE", "NOT AFTER", "ENABLED"});
}

void add_row(Table& table, const api::AuthorityEntry& authority) {
  const CertificateText certificate(authority.certificate());
  table.add({authority.authority(), printable(certificate.subject), certificate.ends, source_text(authority.source()),
             printable(authority.pattern()), provisions_text(authority), bound_text(authority.not_before_us()),
             bound_text(authority.not_after_us()), authority.enabled() ? "yes" : "no"});
}

void set_authority(Session& session, const AuthorityArguments& arguments) {
  api::SetAuthorityRequest request;
  api::AuthorityEntry& authority = *request.mutable_authority();
  authority.set_tenant(session.settings.tenant);
  authority.set_authority(arguments.name);
  authority.set_source(sources().at(arguments.source));
  authority.set_pattern(arguments.pattern);
  authority.set_provisions(arguments.provisions);
  authority.set_most_provisioned(arguments.most_provisioned);
  authority.set_enabled(!arguments.disabled);
  authority.set_not_before_us(arguments.window.begin());
  authority.set_not_after_us(arguments.window.end());
  request.set_certificate_pem(read_input("--certificate", arguments.certificate_file, session.in()));
  const auto answer =
      Registry(session.settings, Target::kRegistry).call(&Service::StubInterface::SetAuthority, request);
  if (arguments.format == Format::kJson) {
    session.out() << json_of(answer) << '\n';
    return;
  }
  Table table = authority_table();
  add_row(table, answer);
  table.print(session.out());
}

void list_authorities(Session& session, const AuthorityArguments& arguments) {
  api::ListAuthoritiesRequest request;
  request.set_tenant(session.settings.tenant);
  const auto answer =
      Registry(session.settings, Target::kRegistry).call(&Service::StubInterface::ListAuthorities, request);
  if (arguments.format == Format::kJson) {
    session.out() << '[';
    for (int i = 0; i < answer.authorities_size(); ++i)
      session.out() << (i == 0 ? "" : ",\n") << json_of(answer.authorities(i));
    session.out() << "]\n";
    return;
  }
  Table table = authority_table();
  for (const auto& authority : answer.authorities()) add_row(table, authority);
  table.print(session.out());
}

void delete_authority(Session& session, const AuthorityArguments& arguments) {
  api::DeleteAuthorityRequest request;
  request.set_tenant(session.settings.tenant);
  request.set_authority(arguments.name);
  static_cast<void>(
      Registry(session.settings, Target::kRegistry).call(&Service::StubInterface::DeleteAuthority, request, kHint));
  session.out() << "deleted authority " << arguments.name << '\n';
}

void add_set_options(CLI::App& command, AuthorityArguments& arguments) {
  command.add_option("NAME", arguments.name, "1 to 64 of A-Za-z0-9._:-")->required();
  command
      .add_option("--certificate", arguments.certificate_file,
                  "PEM file of the authority's certificate; -: standard input")
      ->required();
  command
      .add_option("--source", arguments.source,
                  "where the device's name stands: common-name, dns-name, uri, email (common-name)")
      ->check(one_of({"common-name", "dns-name", "uri", "email"}));
  command.add_option("--pattern", arguments.pattern, "what stands there, with {device} for the id ({device})");
  CLI::Option* provisions =
      command.add_flag("--provisions", arguments.provisions, "a certificate of a device that is not known makes it");
  command.add_option("--most-provisioned", arguments.most_provisioned, "makes no more devices than so many")
      ->needs(provisions);
  command.add_flag("--disabled", arguments.disabled, "lets nobody in for now");
  add_window_options(command, arguments.window);
  add_format_option(command, arguments.format, {"table", "json"});
}

}  // namespace

void add_authority_commands(CLI::App& app, Session& session) {
  CLI::App* group =
      add_group(app, "authority", "set, list, delete authorities whose certificates are devices (needs an admin key)");
  auto arguments = std::make_shared<AuthorityArguments>();
  const auto with = [&session, arguments](auto function) {
    return [&session, arguments, function] { function(session, *arguments); };
  };
  CLI::App* set = add_command(*group, session, "set", "set one, or replace the one of this name",
                              "  millrace authority set meters --certificate meters-ca.pem\n"
                              "  millrace authority set factory --certificate ca.pem --source uri "
                              "--pattern 'urn:meter:{device}' --provisions --most-provisioned 5000",
                              with(set_authority));
  add_set_options(*set, *arguments);
  CLI::App* list =
      add_command(*group, session, "list", "list the tenant's", "  millrace authority list", with(list_authorities));
  add_format_option(*list, arguments->format, {"table", "json"});
  CLI::App* remove =
      add_command(*group, session, "delete", "delete one; its devices stay, their sessions end within a second",
                  "  millrace authority delete meters", with(delete_authority));
  remove->add_option("NAME", arguments->name, "its name")->required();
}

}  // namespace millrace::cli
