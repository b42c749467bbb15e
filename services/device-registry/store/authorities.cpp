#include "store/authorities.hpp"

#include <millrace/base/ids.hpp>
#include <millrace/credentials/certificate.hpp>

#include "store/credentials.hpp"
#include "store/outbox.hpp"
#include "store/tenants.hpp"

namespace millrace::registry {
namespace {

using postgres::Connection;
using postgres::Params;

Error no_authority(const std::string& tenant, const std::string& authority) {
  return {ErrorKind::kNotFound, "there is no authority '" + authority + "' in tenant " + tenant};
}

Error invalid(std::string what) { return {ErrorKind::kInvalid, std::move(what)}; }

Result<std::string> read_certificate(const std::string& pem, TimeUs now) {
  const auto certificate = credentials::Certificate::from_pem(pem);
  if (!certificate.ok()) return invalid("certificate_pem: " + certificate.error().message);
  if (!certificate->may_sign()) {
    return invalid(
        "certificate_pem: this certificate may not sign others; an authority's has the basic constraint CA:TRUE, and "
        "keyCertSign if it has a key usage");
  }
  if (certificate->not_after_us() < now) {
    return invalid("certificate_pem: this certificate is not valid any more since " +
                   format_rfc3339(certificate->not_after_us()));
  }
  return certificate->der();
}

Status check_fields(const v1::AuthorityEntry& authority, TimeUs now) {
  if (auto status = check_id("authority.authority", authority.authority()); !status.ok()) return status;
  if (authority.source() < v1::SUBJECT_SOURCE_COMMON_NAME || authority.source() > v1::SUBJECT_SOURCE_EMAIL)
    return invalid("authority.source must be common name, DNS name, URI or e-mail");
  if (auto status = credentials::check_pattern(authority.pattern()); !status.ok())
    return invalid("authority.pattern: " + status.error().message);
  if (!authority.provisions() && authority.most_provisioned() > 0)
    return invalid("authority.most_provisioned says nothing without authority.provisions");
  return check_window("authority.", authority.not_before_us(), authority.not_after_us(), now);
}

// After lock_tenant().
Status check_room(Connection& connection, const v1::AuthorityEntry& authority) {
  auto others = connection.exec("SELECT count(*) FROM registry.authority WHERE tenant = $1 AND authority <> $2",
                                Params{}.text(authority.tenant()).text(authority.authority()));
  if (!others.ok()) return others.error();
  if (others->integer(0, 0) < kMostAuthorities) return {};
  return Error{ErrorKind::kThrottled, "a tenant has at most " + std::to_string(kMostAuthorities) + " authorities"};
}

}  // namespace

Result<v1::AuthorityEntry> read_authority(const v1::AuthorityEntry& authority, const std::string& pem, TimeUs now) {
  if (auto status = check_fields(authority, now); !status.ok()) return status.error();
  auto certificate = read_certificate(pem, now);
  if (!certificate.ok()) return certificate.error();
  v1::AuthorityEntry entry = authority;
  entry.set_certificate(std::move(*certificate));
  return entry;
}

Status set_authority(Connection& connection, const v1::AuthorityEntry& authority) {
  if (auto status = lock_tenant(connection, authority.tenant()); !status.ok()) return status;
  if (auto status = check_room(connection, authority); !status.ok()) return status;
  // One that was deleted and is set again still answers for the devices that are there by it.
  auto done = connection.exec(
      "INSERT INTO registry.authority (tenant, authority, entry, provisioned)"
      " SELECT $1, $2, $3::bytea, (SELECT count(*) FROM registry.device WHERE tenant = $1 AND provisioned_by = $2)"
      " ON CONFLICT (tenant, authority) DO UPDATE SET entry = excluded.entry",
      Params{}.text(authority.tenant()).text(authority.authority()).bytea(authority.SerializeAsString()));
  if (!done.ok()) return done.error();
  v1::Entry published;
  *published.mutable_authority() = authority;
  return Outbox(connection).put(authority_entry_key(authority.tenant(), authority.authority()), published);
}

Result<std::vector<v1::AuthorityEntry>> list_authorities(Connection& connection, const std::string& tenant) {
  auto rows = connection.exec("SELECT authority, entry FROM registry.authority WHERE tenant = $1 ORDER BY authority",
                              Params{}.text(tenant));
  if (!rows.ok()) return rows.error();
  if (rows->empty()) {
    if (auto exists = get_tenant(connection, tenant); !exists.ok()) return exists.error();
  }
  std::vector<v1::AuthorityEntry> all;
  for (int i = 0; i < rows->size(); ++i) {
    if (all.emplace_back().ParseFromString(std::string(rows->text(i, 1)))) continue;
    return Error{ErrorKind::kCorrupt,
                 "authority '" + std::string(rows->text(i, 0)) + "' of tenant '" + tenant + "' cannot be read"};
  }
  return all;
}

Status delete_authority(Connection& connection, const std::string& tenant, const std::string& authority) {
  if (auto status = lock_tenant(connection, tenant); !status.ok()) return status;
  auto gone = connection.exec("DELETE FROM registry.authority WHERE tenant = $1 AND authority = $2",
                              Params{}.text(tenant).text(authority));
  if (!gone.ok()) return gone.error();
  if (gone->affected() == 0) return no_authority(tenant, authority);
  return Outbox(connection).remove(authority_entry_key(tenant, authority));
}

Status delete_authorities_of(Connection& connection, const std::string& tenant) {
  auto gone =
      connection.exec("DELETE FROM registry.authority WHERE tenant = $1 RETURNING authority", Params{}.text(tenant));
  if (!gone.ok()) return gone.error();
  for (int i = 0; i < gone->size(); ++i) {
    const std::string key = authority_entry_key(tenant, std::string(gone->text(i, 0)));
    if (auto status = Outbox(connection).remove(key); !status.ok()) return status;
  }
  return {};
}

}  // namespace millrace::registry
