#pragma once

#include <span>
#include <string_view>

#include <millrace/postgres/migrations.hpp>

namespace millrace::registry {

inline constexpr std::string_view kSchema = "registry";

/// Oldest first.
[[nodiscard]] std::span<const postgres::Migration> migrations();

}  // namespace millrace::registry
