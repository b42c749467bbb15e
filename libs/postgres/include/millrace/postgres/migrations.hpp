#pragma once

#include <span>
#include <string>
#include <string_view>

#include <millrace/base/result.hpp>
#include <millrace/postgres/connection.hpp>

namespace millrace::postgres {

/// One step forward. A released migration never changes: its text is remembered by hash and compared.
struct Migration {
  int version;            ///< 1, 2, 3, … without holes
  std::string_view name;  ///< for people
  std::string_view sql;   ///< one or more statements; runs in the transaction that records it
};

/// Creates `schema` and its table `migration` if needed and applies what is missing, each in its own transaction, all
/// under one advisory lock, so that several starters do it once. Returns how many it applied. A table that others hold
/// is waited for half a second at a time, so that nobody queues behind it; after five minutes of that kUnavailable. A
/// kill at any point leaves whole migrations. kCorrupt: an applied migration has another text, or the database is ahead
/// of this binary.
[[nodiscard]] Result<int> migrate(Connection& connection, std::string_view schema,
                                  std::span<const Migration> migrations);

/// 0 if nothing was applied yet. For services that only check.
[[nodiscard]] Result<int> schema_version(Connection& connection, std::string_view schema);

}  // namespace millrace::postgres
