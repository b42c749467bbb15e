// The subcommands: migrate and bootstrap.
#include <chrono>
#include <cstdio>

#include <millrace/base/ids.hpp>

#include "device_registry_app.hpp"
#include "schema/migrations.hpp"
#include "store/tenants.hpp"

namespace millrace::registry {
namespace {

Result<std::unique_ptr<postgres::Connection>> connect(const Config& config) {
  postgres::ConnectOptions options;
  options.url = config.database_url;
  options.application_name = "device-registry";
  return postgres::Connection::open(options);
}

int failed(const char* what, const Error& error) {
  std::fprintf(stderr, "device-registry %s: %s\n", what, error.message.c_str());
  return 1;
}

// The key's text. Refuses as soon as there is any key: whoever may make keys exists then.
Result<std::string> first_key(postgres::Connection& connection, const std::string& tenant) {
  auto transaction = postgres::Transaction::begin(connection);
  if (!transaction.ok()) return transaction.error();
  auto locked = connection.exec("LOCK TABLE registry.api_key IN SHARE ROW EXCLUSIVE MODE");
  if (!locked.ok()) return locked.error();
  auto any = connection.exec("SELECT 1 FROM registry.api_key LIMIT 1");
  if (!any.ok()) return any.error();
  if (!any->empty())
    return Error{ErrorKind::kAlreadyExists, "there is an API key already; use it (millrace key create)"};
  if (!tenant.empty()) {
    if (auto made = create_tenant(connection, tenant); !made.ok() && made.error().kind != ErrorKind::kAlreadyExists)
      return made.error();
  }
  auto key = create_api_key(connection, tenant, v1::ROLE_ADMIN, "bootstrap", 0);
  if (!key.ok()) return key.error();
  if (auto committed = transaction->commit(); !committed.ok()) return committed.error();
  return key->key();
}

}  // namespace

int migrate(const Config& config) {
  auto connection = connect(config);
  if (!connection.ok()) return failed("migrate", connection.error());
  // It may have to wait for another starter or for readers; the server's own statement time-out still holds.
  (*connection)->set_deadline(postgres::Clock::now() + std::chrono::minutes{10});
  const auto applied = postgres::migrate(**connection, kSchema, migrations());
  if (!applied.ok()) return failed("migrate", applied.error());
  std::printf("schema registry: %d migrations applied\n", *applied);
  return 0;
}

int bootstrap(const Config& config, const std::vector<std::string>& arguments) {
  std::string tenant;
  if (arguments.size() == 2 && arguments[0] == "--tenant") {
    tenant = arguments[1];
    if (auto valid = check_id("tenant id", tenant); !valid.ok()) return failed("bootstrap", valid.error()), 2;
  } else if (!arguments.empty()) {
    std::fprintf(stderr, "usage: device-registry bootstrap [--tenant NAME]\n");
    return 2;
  }
  auto connection = connect(config);
  if (!connection.ok()) return failed("bootstrap", connection.error());
  const auto key = first_key(**connection, tenant);
  if (!key.ok()) return failed("bootstrap", key.error());
  std::printf("%s\n", key->c_str());
  return 0;
}

}  // namespace millrace::registry
