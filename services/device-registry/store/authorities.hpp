#pragma once

#include <string>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>
#include <millrace/postgres/connection.hpp>
#include <millrace/registry/v1/registry.pb.h>

namespace millrace::registry {

// Each function runs inside the caller's transaction (reads need none) and blocks as Connection does.

inline constexpr int kMostAuthorities = 64;

/// As it is stored: `authority` with the certificate of `pem`. kInvalid names the field: a name, one certificate that
/// may sign and has not ended, a source, a pattern with `{device}`, a window.
[[nodiscard]] Result<v1::AuthorityEntry> read_authority(const v1::AuthorityEntry& authority, const std::string& pem,
                                                        TimeUs now);

/// Sets or replaces the one of this name. kNotFound: there is no such tenant. kThrottled at kMostAuthorities.
[[nodiscard]] Status set_authority(postgres::Connection& connection, const v1::AuthorityEntry& authority);
/// All of the tenant in the order of their names; kNotFound: there is no such tenant.
[[nodiscard]] Result<std::vector<v1::AuthorityEntry>> list_authorities(postgres::Connection& connection,
                                                                       const std::string& tenant);
/// Devices that it has made stay. kNotFound if there is none.
[[nodiscard]] Status delete_authority(postgres::Connection& connection, const std::string& tenant,
                                      const std::string& authority);
/// Takes all of them out of the topic. Before the tenant is deleted.
[[nodiscard]] Status delete_authorities_of(postgres::Connection& connection, const std::string& tenant);

}  // namespace millrace::registry
