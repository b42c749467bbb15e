#include "store/credentials_entry.hpp"

#include "store/outbox.hpp"

namespace millrace::registry {
namespace {

using postgres::Connection;
using postgres::Params;

constexpr const char* kSelect =
    "SELECT c.number, t.sha256, c.password_phc, c.certificate_sha256, c.not_before_us, c.not_after_us"
    " FROM registry.credential c"
    " LEFT JOIN registry.device_token t ON t.device_key = c.device_key AND t.credential = c.number"
    " WHERE c.device_key = $1::int4 ORDER BY c.number";

v1::Credential credential_at(const postgres::Rows& rows, int row) {
  v1::Credential credential;
  credential.set_credential_id("c" + std::to_string(rows.integer(row, 0)));
  if (!rows.is_null(row, 1)) credential.set_token_sha256(std::string(rows.text(row, 1)));
  if (!rows.is_null(row, 2)) credential.set_password_phc(std::string(rows.text(row, 2)));
  if (!rows.is_null(row, 3)) credential.set_certificate_sha256(std::string(rows.text(row, 3)));
  credential.set_not_before_us(rows.integer(row, 4));
  credential.set_not_after_us(rows.integer(row, 5));
  return credential;
}

}  // namespace

bool grants_anything(const v1::CredentialsEntry& access) {
  return !access.children().empty() || !access.topics().empty() || access.ack_level() != v1::ACK_LEVEL_UNSPECIFIED;
}

Result<v1::CredentialsEntry> read_access(Connection& connection, std::int32_t device_key) {
  auto rows = connection.exec("SELECT entry FROM registry.device_access WHERE device_key = $1::int4",
                              Params{}.integer(device_key));
  if (!rows.ok()) return rows.error();
  v1::CredentialsEntry entry;
  if (!rows->empty() && !entry.ParseFromString(std::string(rows->text(0, 0))))
    return Error{ErrorKind::kCorrupt,
                 "children and topics of device key " + std::to_string(device_key) + " cannot be read"};
  return entry;
}

Status publish_credentials(Connection& connection, const DeviceRow& device) {
  auto rows = connection.exec(kSelect, Params{}.integer(device.device_key));
  if (!rows.ok()) return rows.error();
  auto access = read_access(connection, device.device_key);
  if (!access.ok()) return access.error();
  const std::string key = credentials_entry_key(device.tenant, device.device);
  if (rows->empty() && !grants_anything(*access)) return Outbox(connection).remove(key);
  v1::Entry published;
  v1::CredentialsEntry& entry = *published.mutable_credentials();
  entry = std::move(*access);
  entry.set_tenant(device.tenant);
  entry.set_device(device.device);
  for (int i = 0; i < rows->size(); ++i) *entry.add_credentials() = credential_at(*rows, i);
  return Outbox(connection).put(key, published);
}

Status retire_credentials(Connection& connection, const DeviceRow& device) {
  auto any = connection.exec(
      "SELECT 1 FROM registry.credential WHERE device_key = $1::int4"
      " UNION ALL SELECT 1 FROM registry.device_access WHERE device_key = $1::int4 LIMIT 1",
      Params{}.integer(device.device_key));
  if (!any.ok()) return any.error();
  return any->empty() ? Status{} : Outbox(connection).remove(credentials_entry_key(device.tenant, device.device));
}

}  // namespace millrace::registry
