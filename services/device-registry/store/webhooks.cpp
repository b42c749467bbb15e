#include "store/webhooks.hpp"

#include <millrace/base/digest.hpp>

#include "store/outbox.hpp"

namespace millrace::registry {
namespace {

using postgres::Connection;
using postgres::Params;

constexpr std::size_t kSecretBytes = 32;

v1::Webhook webhook_at(const postgres::Rows& rows) {
  v1::Webhook webhook;
  webhook.set_tenant(std::string(rows.text(0, 0)));
  webhook.set_url(std::string(rows.text(0, 1)));
  webhook.set_created_at_us(rows.timestamptz(0, 2));
  return webhook;
}

}  // namespace

Result<v1::SetWebhookResponse> set_webhook(Connection& connection, const std::string& tenant, const std::string& url) {
  const std::string secret = "whs_" + to_hex(random_bytes(kSecretBytes));
  auto rows = connection.exec(
      "INSERT INTO registry.webhook (tenant, url, secret) VALUES ($1, $2, $3)"
      " ON CONFLICT (tenant) DO UPDATE SET url = excluded.url, secret = excluded.secret, created_at = now()"
      " RETURNING tenant, url, created_at",
      Params{}.text(tenant).text(url).text(secret));
  if (!rows.ok()) {
    if (connection.last_error().sqlstate == "23503")
      return Error{ErrorKind::kNotFound, "there is no tenant '" + tenant + "'"};
    return rows.error();
  }
  v1::Entry entry;
  entry.mutable_webhook()->set_tenant(tenant);
  entry.mutable_webhook()->set_url(url);
  entry.mutable_webhook()->set_secret(secret);
  if (auto status = Outbox(connection).put(webhook_entry_key(tenant), entry); !status.ok()) return status.error();
  v1::SetWebhookResponse response;
  *response.mutable_webhook() = webhook_at(*rows);
  response.set_secret(secret);
  return response;
}

Result<v1::Webhook> get_webhook(Connection& connection, const std::string& tenant) {
  auto rows =
      connection.exec("SELECT tenant, url, created_at FROM registry.webhook WHERE tenant = $1", Params{}.text(tenant));
  if (!rows.ok()) return rows.error();
  if (rows->empty()) return Error{ErrorKind::kNotFound, "the tenant has no webhook"};
  return webhook_at(*rows);
}

Status delete_webhook(Connection& connection, const std::string& tenant) {
  auto gone = connection.exec("DELETE FROM registry.webhook WHERE tenant = $1", Params{}.text(tenant));
  if (!gone.ok()) return gone.error();
  if (gone->affected() == 0) return Error{ErrorKind::kNotFound, "the tenant has no webhook"};
  return Outbox(connection).remove(webhook_entry_key(tenant));
}

}  // namespace millrace::registry
