#pragma once

#include <span>
#include <string_view>

#include <millrace/base/result.hpp>
#include <millrace/postgres/connection.hpp>
#include <millrace/postgres/migrations.hpp>

namespace millrace::storage_schema {

inline constexpr std::string_view kSchema = "storage";

/// Oldest first; see src/migrations.cpp for the tables and what each column means.
[[nodiscard]] std::span<const postgres::Migration> migrations();

/// Lets `role` read everything in the schema, tables to come included. Run by the owner; an unknown role is kInternal.
[[nodiscard]] Status grant_reads(postgres::Connection& connection, std::string_view role);

/// grant_reads() to the role `millrace_reader`, and what device-registry looks up for a replay (dead letters,
/// positions) to the role `millrace_replay`; a role that does not exist is left out.
[[nodiscard]] Status grant_reads_to_default_roles(postgres::Connection& connection);

}  // namespace millrace::storage_schema
