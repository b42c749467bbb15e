#pragma once

#include <string>

#include <millrace/base/result.hpp>
#include <millrace/postgres/connection.hpp>
#include <millrace/registry/v1/registry.pb.h>

namespace millrace::registry {

// Each function runs inside the caller's transaction (reads need none) and blocks as Connection does.

[[nodiscard]] Result<v1::Tenant> create_tenant(postgres::Connection& connection, const std::string& tenant);
/// kNotFound if there is none.
[[nodiscard]] Result<v1::Tenant> get_tenant(postgres::Connection& connection, const std::string& tenant);
/// Tenants behind `after` in the order of their ids.
[[nodiscard]] Result<v1::ListTenantsResponse> list_tenants(postgres::Connection& connection, const std::string& after,
                                                           int limit);
/// Until the transaction ends nobody else changes the tenant's rules, authorities, policy or limits: what is published
/// comes in the order of the changes, and they can be counted. kNotFound if there is no such tenant.
[[nodiscard]] Status lock_tenant(postgres::Connection& connection, const std::string& tenant);
/// kConflict while it has devices. Its API keys go with it.
[[nodiscard]] Status delete_tenant(postgres::Connection& connection, const std::string& tenant);

}  // namespace millrace::registry
