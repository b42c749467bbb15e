#pragma once

#include <string>

#include <millrace/base/result.hpp>
#include <millrace/postgres/connection.hpp>
#include <millrace/registry/v1/entry.pb.h>

namespace millrace::registry {

/// Inside the caller's transaction: replaces the tenant's. kNotFound: there is no such tenant.
[[nodiscard]] Status set_policy(postgres::Connection& connection, const v1::PolicyEntry& policy);

/// As set_policy() left it; without any an entry that only says whose it is.
[[nodiscard]] Result<v1::PolicyEntry> get_policy(postgres::Connection& connection, const std::string& tenant);

/// Takes it out of the topic if there is any.
[[nodiscard]] Status delete_policy(postgres::Connection& connection, const std::string& tenant);

}  // namespace millrace::registry
