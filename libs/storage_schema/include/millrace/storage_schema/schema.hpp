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

/// grant_reads() to the role `millrace_reader` if there is one.
[[nodiscard]] Status grant_reads_to_default_role(postgres::Connection& connection);

}  // namespace millrace::storage_schema
