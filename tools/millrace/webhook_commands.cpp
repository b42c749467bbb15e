#include <memory>

#include <CLI/CLI.hpp>

#include <millrace/base/time.hpp>

#include "client.hpp"
#include "command_line.hpp"
#include "format_option.hpp"
#include "millrace/registry/v1/registry.grpc.pb.h"
#include "text.hpp"

namespace millrace::cli {
namespace {

namespace api = registry::v1;
using Service = api::RegistryService;
using Registry = Client<Service>;
constexpr const char* kHint = "`millrace webhook set URL` sets one";

struct WebhookArguments {
  std::string url;
  Format format = Format::kTable;
};

std::string members(const api::Webhook& webhook) {
  return "\"tenant\":" + json_string(webhook.tenant()) + ",\"url\":" + json_string(webhook.url()) +
         ",\"created\":" + json_string(format_rfc3339(webhook.created_at_us()));
}

void set_webhook(Session& session, const WebhookArguments& arguments) {
  api::SetWebhookRequest request;
  request.set_tenant(session.settings.tenant);
  request.set_url(arguments.url);
  const auto answer = Registry(session.settings, Target::kRegistry).call(&Service::StubInterface::SetWebhook, request);
  if (arguments.format == Format::kJson) {
    session.out() << '{' << members(answer.webhook()) << ",\"secret\":" << json_string(answer.secret()) << "}\n";
    return;
  }
  session.out() << "alerts of " << answer.webhook().tenant() << " go to " << answer.webhook().url()
                << ", signed with this secret, shown only now:\n"
                << answer.secret() << '\n';
}

void show_webhook(Session& session, const WebhookArguments& arguments) {
  api::GetWebhookRequest request;
  request.set_tenant(session.settings.tenant);
  const auto webhook =
      Registry(session.settings, Target::kRegistry).call(&Service::StubInterface::GetWebhook, request, kHint);
  if (arguments.format == Format::kJson) {
    session.out() << '{' << members(webhook) << "}\n";
    return;
  }
  Table table({"TENANT", "URL", "CREATED"});
  table.add({webhook.tenant(), webhook.url(), format_rfc3339(webhook.created_at_us())});
  table.print(session.out());
}

void delete_webhook(Session& session, const WebhookArguments& /*arguments*/) {
  api::DeleteWebhookRequest request;
  request.set_tenant(session.settings.tenant);
  static_cast<void>(
      Registry(session.settings, Target::kRegistry).call(&Service::StubInterface::DeleteWebhook, request, kHint));
  session.out() << "deleted the webhook\n";
}

}  // namespace

void add_webhook_commands(CLI::App& app, Session& session) {
  CLI::App* group =
      add_group(app, "webhook", "set, show, delete the webhook that gets the tenant's alerts (needs an admin key)");
  auto arguments = std::make_shared<WebhookArguments>();
  const auto with = [&session, arguments](auto function) {
    return [&session, arguments, function] { function(session, *arguments); };
  };
  CLI::App* set = add_command(*group, session, "set", "set it and draw a signing secret, which is shown only once",
                              "  millrace webhook set https://example.com/alerts", with(set_webhook));
  set->add_option("URL", arguments->url, "https:// or http://")->required();
  add_format_option(*set, arguments->format, {"table", "json"});
  CLI::App* show =
      add_command(*group, session, "show", "show where it points", "  millrace webhook show", with(show_webhook));
  add_format_option(*show, arguments->format, {"table", "json"});
  add_command(*group, session, "delete", "delete it: alerts are sent nowhere", "  millrace webhook delete",
              with(delete_webhook));
}

}  // namespace millrace::cli
