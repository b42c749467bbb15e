#pragma once

#include <millrace/postgres/connection.hpp>

namespace millrace::query_api {

/// Begins a transaction that sees the catalogue of files and the rows of the database at one moment, so that no day is
/// in both or in neither. It ends with the lease of the connection. An exchange of a day for its file waits meanwhile.
[[nodiscard]] Status begin_moment(postgres::Connection& connection);

}  // namespace millrace::query_api
