#pragma once

#include <optional>
#include <string>

#include <millrace/base/result.hpp>
#include <millrace/postgres/connection.hpp>
#include <millrace/registry/v1/entry.pb.h>

namespace millrace::registry {

inline constexpr std::int32_t kMostRetentionDays = 36'500;

/// kInvalid unless it is absent, 0 or a number of days.
[[nodiscard]] Status check_retention_days(std::optional<std::int32_t> days);

// Each function runs inside the caller's transaction (reads need none) and blocks as Connection does.

/// Of one type, or of the tenant where `type` is empty; no `days` takes it away. kNotFound: no such tenant or type.
[[nodiscard]] Result<v1::RetentionEntry> set_retention(postgres::Connection& connection, const std::string& tenant,
                                                       const std::string& type, std::optional<std::int32_t> days);

/// Without any an entry that only says whose it is. kNotFound: no such tenant.
[[nodiscard]] Result<v1::RetentionEntry> get_retention(postgres::Connection& connection, const std::string& tenant);

/// Takes it out of the topic if there is any.
[[nodiscard]] Status delete_retention(postgres::Connection& connection, const std::string& tenant);

}  // namespace millrace::registry
