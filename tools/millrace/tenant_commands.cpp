#include <memory>

#include <CLI/CLI.hpp>

#include <millrace/base/time.hpp>

#include "client.hpp"
#include "command_error.hpp"
#include "command_line.hpp"
#include "format_option.hpp"
#include "millrace/registry/v1/registry.grpc.pb.h"
#include "text.hpp"

namespace millrace::cli {
namespace {

namespace api = registry::v1;
using Service = api::RegistryService;
using Registry = Client<Service>;
constexpr const char* kHint = "`millrace tenant list` shows the tenants";

struct TenantArguments {
  std::string tenant;
  Format format = Format::kTable;
  bool yes = false;
};

std::string json_of(const api::Tenant& tenant) {
  return "{\"tenant\":" + json_string(tenant.tenant()) + ",\"key\":" + std::to_string(tenant.tenant_key()) +
         ",\"enabled\":" + (tenant.enabled() ? "true" : "false") +
         ",\"created\":" + json_string(format_rfc3339(tenant.created_at_us())) + "}";
}

void print(Session& session, const std::vector<api::Tenant>& tenants) {
  Table table({"TENANT", "ENABLED", "CREATED"});
  for (const auto& tenant : tenants) {
    table.add({tenant.tenant(), tenant.enabled() ? "yes" : "no", format_rfc3339(tenant.created_at_us())});
  }
  table.print(session.out());
}

void create_tenant(Session& session, const TenantArguments& arguments) {
  api::CreateTenantRequest request;
  request.set_tenant(arguments.tenant);
  const auto tenant =
      Registry(session.settings, Target::kRegistry).call(&Service::StubInterface::CreateTenant, request);
  if (arguments.format == Format::kJson) {
    session.out() << json_of(tenant) << '\n';
  } else {
    session.out() << "created tenant " << tenant.tenant() << '\n';
  }
}

void show_tenant(Session& session, const TenantArguments& arguments) {
  api::GetTenantRequest request;
  request.set_tenant(arguments.tenant.empty() ? session.settings.tenant : arguments.tenant);
  const auto tenant =
      Registry(session.settings, Target::kRegistry).call(&Service::StubInterface::GetTenant, request, kHint);
  if (arguments.format == Format::kJson) {
    session.out() << json_of(tenant) << '\n';
  } else {
    print(session, {tenant});
  }
}

void list_tenants(Session& session, const TenantArguments& arguments) {
  Registry registry(session.settings, Target::kRegistry);
  std::vector<api::Tenant> tenants;
  api::ListTenantsRequest request;
  request.set_page_size(1'000);
  do {
    const auto page = registry.call(&Service::StubInterface::ListTenants, request);
    tenants.insert(tenants.end(), page.tenants().begin(), page.tenants().end());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  if (arguments.format != Format::kJson) return print(session, tenants);
  session.out() << '[';
  for (std::size_t i = 0; i < tenants.size(); ++i) session.out() << (i == 0 ? "" : ",\n") << json_of(tenants[i]);
  session.out() << "]\n";
}

void delete_tenant(Session& session, const TenantArguments& arguments) {
  if (!arguments.yes) {
    throw usage_error("deleting tenant " + arguments.tenant + " deletes its devices and keys with it",
                      "say --yes if that is meant");
  }
  api::DeleteTenantRequest request;
  request.set_tenant(arguments.tenant);
  static_cast<void>(
      Registry(session.settings, Target::kRegistry).call(&Service::StubInterface::DeleteTenant, request, kHint));
  session.out() << "deleted tenant " << arguments.tenant << '\n';
}

}  // namespace

void add_tenant_commands(CLI::App& app, Session& session) {
  CLI::App* group = add_group(app, "tenant", "create, list, show, delete tenants (needs a platform key)");
  auto arguments = std::make_shared<TenantArguments>();
  const auto with = [&session, arguments](auto function) {
    return [&session, arguments, function] { function(session, *arguments); };
  };
  CLI::App* create =
      add_command(*group, session, "create", "create a tenant", "  millrace tenant create acme", with(create_tenant));
  create->add_option("TENANT", arguments->tenant, "1 to 64 of A-Za-z0-9._:-")->required();
  add_format_option(*create, arguments->format, {"table", "json"});
  CLI::App* list =
      add_command(*group, session, "list", "list all tenants", "  millrace tenant list --json", with(list_tenants));
  add_format_option(*list, arguments->format, {"table", "json"});
  CLI::App* show =
      add_command(*group, session, "show", "show one tenant", "  millrace tenant show acme", with(show_tenant));
  show->add_option("TENANT", arguments->tenant, "default: the tenant of the API key");
  add_format_option(*show, arguments->format, {"table", "json"});
  CLI::App* remove = add_command(*group, session, "delete", "delete a tenant with its devices and keys",
                                 "  millrace tenant delete acme --yes", with(delete_tenant));
  remove->add_option("TENANT", arguments->tenant, "its id")->required();
  remove->add_flag("--yes", arguments->yes, "do it");
}

}  // namespace millrace::cli
