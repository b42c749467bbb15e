#include "store/credentials.hpp"

#include <charconv>
#include <optional>

#include <millrace/base/digest.hpp>

#include "store/credentials_entry.hpp"
#include "store/devices.hpp"

namespace millrace::registry {
namespace {

using postgres::Connection;
using postgres::Params;

constexpr std::size_t kTokenIdDigits = 16;

constexpr const char* kAddCredential =
    "INSERT INTO registry.credential"
    " (device_key, number, password_phc, certificate_sha256, not_before_us, not_after_us)"
    " VALUES ($1::int4, $2::int4, $3, $4::bytea, $5::int8, $6::int8)"
    " ON CONFLICT (device_key, certificate_sha256) DO NOTHING";

std::string plain_id(std::string_view sha256) { return "t" + to_hex(sha256).substr(0, kTokenIdDigits); }

v1::CredentialInfo info_of(std::int64_t number, const NewCredential& credential) {
  v1::CredentialInfo info;
  info.set_credential_id("c" + std::to_string(number));
  info.set_kind(credential.kind);
  info.set_not_before_us(credential.not_before_us);
  info.set_not_after_us(credential.not_after_us);
  if (credential.kind == v1::CREDENTIAL_KIND_CERTIFICATE) info.set_certificate_sha256(credential.sha256);
  return info;
}

// The number of the next credential. After lock_device(), so that the count stays true.
Result<std::int64_t> next_number(Connection& connection, const DeviceRow& device) {
  auto count = connection.exec("SELECT count(*) FROM registry.credential WHERE device_key = $1::int4",
                               Params{}.integer(device.device_key));
  if (!count.ok()) return count.error();
  if (count->integer(0, 0) >= kMostCredentials) {
    return Error{ErrorKind::kThrottled, "device '" + device.device + "' has " + std::to_string(kMostCredentials) +
                                            " credentials already; remove one first"};
  }
  auto number = connection.exec(
      "UPDATE registry.device SET last_credential = last_credential + 1 WHERE device_key = $1::int4"
      " RETURNING last_credential",
      Params{}.integer(device.device_key));
  if (!number.ok()) return number.error();
  return number->integer(0, 0);
}

Status store_token(Connection& connection, const DeviceRow& device, std::int64_t number, const std::string& sha256) {
  auto stored = connection.exec(
      "INSERT INTO registry.device_token (device_key, sha256, credential) VALUES ($1::int4, $2::bytea, $3::int4)"
      " ON CONFLICT (sha256) DO NOTHING",
      Params{}.integer(device.device_key).bytea(sha256).integer(number));
  if (!stored.ok()) return stored.error();
  if (stored->affected() == 1) return {};
  auto own = connection.exec("SELECT 1 FROM registry.device_token WHERE device_key = $1::int4 AND sha256 = $2::bytea",
                             Params{}.integer(device.device_key).bytea(sha256));
  if (!own.ok()) return own.error();
  if (own->empty()) return Error{ErrorKind::kConflict, "token_sha256: this token is another device's"};
  return Error{ErrorKind::kAlreadyExists, "token_sha256: device '" + device.device + "' has this token already"};
}

Status store(Connection& connection, const DeviceRow& device, std::int64_t number, const NewCredential& credential) {
  Params params;
  params.integer(device.device_key).integer(number);
  if (credential.kind == v1::CREDENTIAL_KIND_PASSWORD)
    params.text(credential.phc);
  else
    params.null();
  if (credential.kind == v1::CREDENTIAL_KIND_CERTIFICATE)
    params.bytea(credential.sha256);
  else
    params.null();
  params.integer(credential.not_before_us).integer(credential.not_after_us);
  auto stored = connection.exec(kAddCredential, params);
  if (!stored.ok()) return stored.error();
  if (stored->affected() == 0) {
    return Error{ErrorKind::kAlreadyExists,
                 "certificate_pem: device '" + device.device + "' has this certificate already"};
  }
  if (credential.kind != v1::CREDENTIAL_KIND_TOKEN) return {};
  return store_token(connection, device, number, credential.sha256);
}

// The number behind `c`; none for anything that was never given.
std::optional<std::int32_t> number_in(std::string_view id) {
  std::int32_t number = 0;
  const auto [end, fault] = std::from_chars(id.data() + 1, id.data() + id.size(), number);
  if (fault != std::errc() || end != id.data() + id.size() || "c" + std::to_string(number) != id || number < 1)
    return std::nullopt;
  return number;
}

bool is_plain_id(std::string_view id) {
  return id.size() == 1 + kTokenIdDigits &&
         id.substr(1).find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Status remove_plain(Connection& connection, const DeviceRow& device, const std::string& id) {
  auto gone = connection.exec(
      "DELETE FROM registry.device_token WHERE device_key = $1::int4 AND credential IS NULL"
      " AND starts_with(encode(sha256, 'hex'), $2)",
      Params{}.integer(device.device_key).text(id.substr(1)));
  if (!gone.ok()) return gone.error();
  if (gone->affected() == 0)
    return Error{ErrorKind::kNotFound, "device '" + device.device + "' has no token '" + id + "'"};
  auto now = get_device(connection, device.tenant, device.device);
  if (!now.ok()) return now.error();
  return publish_device(connection, *now);
}

Status remove_numbered(Connection& connection, const DeviceRow& device, std::int32_t number) {
  auto gone = connection.exec("DELETE FROM registry.credential WHERE device_key = $1::int4 AND number = $2::int4",
                              Params{}.integer(device.device_key).integer(number));
  if (!gone.ok()) return gone.error();
  if (gone->affected() == 0) {
    return Error{ErrorKind::kNotFound,
                 "device '" + device.device + "' has no credential 'c" + std::to_string(number) + "'"};
  }
  return publish_credentials(connection, device);
}

constexpr const char* kSelectPlain =
    "SELECT sha256 FROM registry.device_token WHERE device_key = $1::int4 AND credential IS NULL"
    " ORDER BY created_at, sha256";
constexpr const char* kSelectNumbered =
    "SELECT number, password_phc IS NOT NULL, certificate_sha256, not_before_us, not_after_us"
    " FROM registry.credential WHERE device_key = $1::int4 ORDER BY number";

v1::CredentialInfo info_at(const postgres::Rows& rows, int row) {
  NewCredential credential{
      .kind = v1::CREDENTIAL_KIND_TOKEN, .not_before_us = rows.integer(row, 3), .not_after_us = rows.integer(row, 4)};
  if (rows.boolean(row, 1)) credential.kind = v1::CREDENTIAL_KIND_PASSWORD;
  if (!rows.is_null(row, 2)) {
    credential.kind = v1::CREDENTIAL_KIND_CERTIFICATE;
    credential.sha256 = rows.text(row, 2);
  }
  return info_of(rows.integer(row, 0), credential);
}

}  // namespace

Status check_window(const std::string& where, TimeUs not_before_us, TimeUs not_after_us, TimeUs now) {
  if (not_before_us < 0) return Error{ErrorKind::kInvalid, where + "not_before_us is negative"};
  if (not_after_us < 0) return Error{ErrorKind::kInvalid, where + "not_after_us is negative"};
  if (not_after_us == 0) return {};
  if (not_after_us <= not_before_us)
    return Error{ErrorKind::kInvalid, where + "not_after_us must be later than not_before_us"};
  if (not_after_us <= now) return Error{ErrorKind::kInvalid, where + "not_after_us has passed already"};
  return {};
}

Result<v1::CredentialInfo> add_credential(Connection& connection, const std::string& tenant, const std::string& device,
                                          const NewCredential& credential) {
  const auto key = lock_device(connection, tenant, device);
  if (!key.ok()) return key.error();
  const DeviceRow row{*key, tenant, device};
  const auto number = next_number(connection, row);
  if (!number.ok()) return number.error();
  if (auto status = store(connection, row, *number, credential); !status.ok()) return status.error();
  if (auto status = publish_credentials(connection, row); !status.ok()) return status.error();
  return info_of(*number, credential);
}

Status remove_credential(Connection& connection, const std::string& tenant, const std::string& device,
                         const std::string& credential_id) {
  const bool plain = credential_id.starts_with('t') && is_plain_id(credential_id);
  const auto number = credential_id.starts_with('c') ? number_in(credential_id) : std::nullopt;
  if (!plain && !number) {
    return Error{ErrorKind::kInvalid,
                 "credential_id must be c and a number, or t and 16 hexadecimal digits; ListCredentials tells them"};
  }
  const auto key = lock_device(connection, tenant, device);
  if (!key.ok()) return key.error();
  const DeviceRow row{*key, tenant, device};
  return plain ? remove_plain(connection, row, credential_id) : remove_numbered(connection, row, *number);
}

Result<v1::ListCredentialsResponse> list_credentials(Connection& connection, const std::string& tenant,
                                                     const std::string& device) {
  const auto now = get_device(connection, tenant, device);
  if (!now.ok()) return now.error();
  auto plain = connection.exec(kSelectPlain, Params{}.integer(now->device_key()));
  if (!plain.ok()) return plain.error();
  auto numbered = connection.exec(kSelectNumbered, Params{}.integer(now->device_key()));
  if (!numbered.ok()) return numbered.error();
  v1::ListCredentialsResponse response;
  for (int i = 0; i < plain->size(); ++i) {
    v1::CredentialInfo& info = *response.add_credentials();
    info.set_credential_id(plain_id(plain->text(i, 0)));
    info.set_kind(v1::CREDENTIAL_KIND_TOKEN);
  }
  for (int i = 0; i < numbered->size(); ++i) *response.add_credentials() = info_at(*numbered, i);
  return response;
}

}  // namespace millrace::registry
