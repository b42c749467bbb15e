#include <algorithm>
#include <memory>

#include <CLI/CLI.hpp>

#include <millrace/base/time.hpp>

#include "checks.hpp"
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
constexpr const char* kHint = "`millrace key list` shows the keys";

struct KeyArguments {
  std::string key_id;
  std::string role = "viewer";
  std::string description;
  std::string expires;
  Format format = Format::kTable;
};

std::string role_text(api::Role role) {
  if (role == api::ROLE_VIEWER) return "viewer";
  if (role == api::ROLE_OPERATOR) return "operator";
  if (role == api::ROLE_ADMIN) return "admin";
  return "unknown";
}

api::Role role_of(const std::string& text) {
  if (text == "viewer") return api::ROLE_VIEWER;
  if (text == "operator") return api::ROLE_OPERATOR;
  return api::ROLE_ADMIN;
}

std::string expiry_text(const api::ApiKey& key) {
  return key.expires_at_us() == 0 ? "never" : format_rfc3339(key.expires_at_us());
}

std::string json_members(const api::ApiKey& key) {
  return "\"id\":" + json_string(key.key_id()) + ",\"tenant\":" + json_string(key.tenant()) +
         ",\"role\":" + json_string(role_text(key.role())) + ",\"enabled\":" + (key.enabled() ? "true" : "false") +
         ",\"created\":" + json_string(format_rfc3339(key.created_at_us())) +
         ",\"expires\":" + json_string(expiry_text(key)) + ",\"description\":" + json_string(key.description());
}

void print(Session& session, const std::vector<api::ApiKey>& keys) {
  Table table({"ID", "TENANT", "ROLE", "ENABLED", "CREATED", "EXPIRES", "DESCRIPTION"});
  for (const auto& key : keys) {
    table.add({key.key_id(), key.tenant().empty() ? "(platform)" : key.tenant(), role_text(key.role()),
               key.enabled() ? "yes" : "no", format_rfc3339(key.created_at_us()), expiry_text(key),
               printable(key.description())});
  }
  table.print(session.out());
}

std::vector<api::ApiKey> all_keys(Session& session) {
  Registry registry(session.settings, Target::kRegistry);
  std::vector<api::ApiKey> keys;
  api::ListApiKeysRequest request;
  request.set_tenant(session.settings.tenant);
  request.set_page_size(1'000);
  do {
    const auto page = registry.call(&Service::StubInterface::ListApiKeys, request);
    keys.insert(keys.end(), page.api_keys().begin(), page.api_keys().end());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return keys;
}

void create_key(Session& session, const KeyArguments& arguments) {
  api::CreateApiKeyRequest request;
  request.set_tenant(session.settings.tenant);
  request.set_role(role_of(arguments.role));
  request.set_description(arguments.description);
  if (!arguments.expires.empty()) {
    request.set_expires_at_us(parse_expiry_argument("--expires", arguments.expires, now_us()));
  }
  const auto created =
      Registry(session.settings, Target::kRegistry).call(&Service::StubInterface::CreateApiKey, request);
  if (arguments.format == Format::kJson) {
    session.out() << '{' << json_members(created.api_key()) << ",\"key\":" << json_string(created.key()) << "}\n";
  } else {
    session.out() << "created key " << created.api_key().key_id() << " (" << role_text(created.api_key().role())
                  << "), shown only now:\n"
                  << created.key() << '\n';
  }
}

void list_keys(Session& session, const KeyArguments& arguments) {
  const auto keys = all_keys(session);
  if (arguments.format != Format::kJson) return print(session, keys);
  session.out() << '[';
  for (std::size_t i = 0; i < keys.size(); ++i)
    session.out() << (i == 0 ? "{" : ",\n{") << json_members(keys[i]) << '}';
  session.out() << "]\n";
}

void show_key(Session& session, const KeyArguments& arguments) {
  const auto keys = all_keys(session);
  const auto found =
      std::find_if(keys.begin(), keys.end(), [&](const auto& key) { return key.key_id() == arguments.key_id; });
  if (found == keys.end()) throw CommandError("there is no key " + arguments.key_id, kHint);
  if (arguments.format == Format::kJson) {
    session.out() << '{' << json_members(*found) << "}\n";
  } else {
    print(session, {*found});
  }
}

void delete_key(Session& session, const KeyArguments& arguments) {
  api::DeleteApiKeyRequest request;
  request.set_key_id(arguments.key_id);
  static_cast<void>(
      Registry(session.settings, Target::kRegistry).call(&Service::StubInterface::DeleteApiKey, request, kHint));
  session.out() << "deleted key " << arguments.key_id << '\n';
}

}  // namespace

void add_key_commands(CLI::App& app, Session& session) {
  CLI::App* group = add_group(app, "key", "create, list, show, delete API keys (needs an admin key)");
  auto arguments = std::make_shared<KeyArguments>();
  const auto with = [&session, arguments](auto function) {
    return [&session, arguments, function] { function(session, *arguments); };
  };
  CLI::App* create =
      add_command(*group, session, "create", "create an API key; its text is shown only once",
                  "  millrace key create --role viewer --description 'wall display' --expires 90d", with(create_key));
  create->add_option("--role", arguments->role, "viewer, operator or admin (viewer)")
      ->check(one_of({"viewer", "operator", "admin"}));
  create->add_option("--description", arguments->description, "what it is for");
  create->add_option("--expires", arguments->expires, "time, or how long it holds (never)");
  add_format_option(*create, arguments->format, {"table", "json"});
  CLI::App* list =
      add_command(*group, session, "list", "list the tenant's keys", "  millrace key list", with(list_keys));
  add_format_option(*list, arguments->format, {"table", "json"});
  CLI::App* show = add_command(*group, session, "show", "show one key", "  millrace key show 7f3a9c", with(show_key));
  show->add_option("KEY_ID", arguments->key_id, "the part between mk_ and the second _")->required();
  add_format_option(*show, arguments->format, {"table", "json"});
  CLI::App* remove = add_command(*group, session, "delete", "delete a key; it stops working within a second",
                                 "  millrace key delete 7f3a9c", with(delete_key));
  remove->add_option("KEY_ID", arguments->key_id, "its id")->required();
}

}  // namespace millrace::cli
