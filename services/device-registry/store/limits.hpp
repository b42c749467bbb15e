#pragma once

#include <string>

#include <millrace/base/result.hpp>
#include <millrace/postgres/connection.hpp>
#include <millrace/registry/v1/registry.pb.h>

namespace millrace::registry {

/// kInvalid names the field: rates are finite, more than 0 and at most 1e12, bursts 0 to 1e15. `where` is put before
/// it.
[[nodiscard]] Status check_limits(const std::string& where, const v1::Limits& limits);

/// Inside the caller's transaction: replaces the limits of the tenant, or of one device where the entry names one.
/// kNotFound where there is no such tenant or device.
[[nodiscard]] Result<v1::LimitsEntry> set_limits(postgres::Connection& connection, const v1::LimitsEntry& entry);

/// As set_limits() left them; without any an entry that only says whose they are.
[[nodiscard]] Result<v1::LimitsEntry> get_limits(postgres::Connection& connection, const std::string& tenant,
                                                 const std::string& device);

/// Takes them out of the topic if there are any; the rows go with tenant and device. Before those are deleted.
[[nodiscard]] Status delete_limits(postgres::Connection& connection, const std::string& tenant,
                                   const std::string& device);

}  // namespace millrace::registry
