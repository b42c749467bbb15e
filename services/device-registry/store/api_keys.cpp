#include "store/api_keys.hpp"

#include <millrace/base/digest.hpp>

#include "store/outbox.hpp"
#include "store/page_token.hpp"

namespace millrace::registry {
namespace {

using postgres::Connection;
using postgres::Params;

constexpr std::size_t kIdBytes = 6;
constexpr std::size_t kSecretBytes = 24;
constexpr std::chrono::seconds kVerifyTimeout{5};
constexpr const char* kColumns = "key_id, coalesce(tenant, ''), role, enabled, created_at, expires_at, description";

v1::ApiKey key_at(const postgres::Rows& rows, int row) {
  v1::ApiKey key;
  key.set_key_id(std::string(rows.text(row, 0)));
  key.set_tenant(std::string(rows.text(row, 1)));
  key.set_role(static_cast<v1::Role>(rows.integer(row, 2)));
  key.set_enabled(rows.boolean(row, 3));
  key.set_created_at_us(rows.timestamptz(row, 4));
  if (!rows.is_null(row, 5)) key.set_expires_at_us(rows.timestamptz(row, 5));
  key.set_description(std::string(rows.text(row, 6)));
  return key;
}

}  // namespace

Result<v1::CreateApiKeyResponse> create_api_key(Connection& connection, const std::string& tenant, v1::Role role,
                                                const std::string& description, std::int64_t expires_at_us) {
  // Hex: an id without `_`, so that the parts of the key can be told apart.
  const std::string key_id = to_hex(random_bytes(kIdBytes));
  v1::CreateApiKeyResponse response;
  response.set_key("mk_" + key_id + "_" + random_token(kSecretBytes));
  const Sha256 digest = sha256(response.key());
  Params params;
  params.text(key_id);
  if (tenant.empty()) {
    params.null();
  } else {
    params.text(tenant);
  }
  params.integer(role).bytea(bytes_of(digest)).text(description);
  if (expires_at_us > 0) {
    params.timestamptz(expires_at_us);
  } else {
    params.null();
  }
  auto rows =
      connection.exec(std::string("INSERT INTO registry.api_key (key_id, tenant, role, sha256, description, expires_at)"
                                  " VALUES ($1, $2, $3::int2, $4::bytea, $5, $6::timestamptz) RETURNING ") +
                          kColumns,
                      params);
  if (!rows.ok()) {
    if (connection.last_error().sqlstate == "23503")
      return Error{ErrorKind::kNotFound, "there is no tenant '" + tenant + "'"};
    return rows.error();
  }
  *response.mutable_api_key() = key_at(*rows, 0);
  v1::Entry entry;
  v1::ApiKeyEntry& target = *entry.mutable_api_key();
  target.set_key_id(key_id);
  target.set_tenant(tenant);
  target.set_role(role);
  target.set_sha256(std::string(bytes_of(digest)));
  target.set_enabled(true);
  target.set_expires_at_us(expires_at_us);
  if (auto status = Outbox(connection).put(api_key_entry_key(key_id), entry); !status.ok()) return status.error();
  return response;
}

Result<v1::ListApiKeysResponse> list_api_keys(Connection& connection, const std::string& tenant,
                                              const std::string& after, int limit) {
  auto rows = connection.exec(
      std::string("SELECT ") + kColumns +
          " FROM registry.api_key WHERE coalesce(tenant, '') = $1 AND key_id > $2 ORDER BY key_id LIMIT $3::int8",
      Params{}.text(tenant).text(after).integer(limit + 1));
  if (!rows.ok()) return rows.error();
  v1::ListApiKeysResponse response;
  for (int i = 0; i < std::min(rows->size(), limit); ++i) *response.add_api_keys() = key_at(*rows, i);
  if (rows->size() > limit) response.set_next_page_token(page_token_after(response.api_keys().rbegin()->key_id()));
  return response;
}

Status delete_api_key(Connection& connection, const std::string& tenant, const std::string& key_id) {
  auto gone = connection.exec("DELETE FROM registry.api_key WHERE key_id = $1 AND ($2 = '' OR tenant = $2)",
                              Params{}.text(key_id).text(tenant));
  if (!gone.ok()) return gone.error();
  if (gone->affected() == 0) return Error{ErrorKind::kNotFound, "there is no API key '" + key_id + "'"};
  return Outbox(connection).remove(api_key_entry_key(key_id));
}

Result<rpc::Caller> DatabaseKeyVerifier::verify(const Sha256& key_sha256, TimeUs now) {
  auto lease = pool_.acquire(postgres::Clock::now() + kVerifyTimeout);
  if (!lease.ok()) return Error{ErrorKind::kUnavailable, "the database cannot be reached; try again"};
  auto rows = (*lease)->exec(
      "SELECT k.key_id, coalesce(k.tenant, ''), k.role FROM registry.api_key k LEFT JOIN registry.tenant t ON t.tenant "
      "= k.tenant"
      " WHERE k.sha256 = $1::bytea AND k.enabled AND (k.expires_at IS NULL OR k.expires_at > $2::timestamptz)"
      " AND (k.tenant IS NULL OR t.enabled)",
      Params{}.bytea(bytes_of(key_sha256)).timestamptz(now));
  if (!rows.ok()) return Error{ErrorKind::kUnavailable, "the database cannot be asked; try again"};
  if (rows->empty()) return Error{ErrorKind::kUnauthenticated, "the API key is not valid"};
  return rpc::Caller{std::string(rows->text(0, 0)), std::string(rows->text(0, 1)),
                     static_cast<rpc::Role>(rows->integer(0, 2))};
}

}  // namespace millrace::registry
