#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <millrace/base/result.hpp>

namespace millrace::postgres {

/// What a failed statement means for data that must get in (PostgreSQL manual, appendix A).
enum class Disposition {
  kRetry,   ///< the server or the connection: classes 08, 53, 57, 40, 58 and lock_not_available; back off, try again
  kPoison,  ///< the data: classes 22 and 23; the same rows fail again
  kStop,    ///< anything else (schema, rights, our SQL): a person must look
};

/// An empty SQLSTATE (the connection broke before the server answered) is kRetry.
[[nodiscard]] Disposition disposition_of(std::string_view sqlstate);

/// kRetry → kUnavailable; unique_violation → kAlreadyExists; other poison → kInvalid; class 28 → kUnauthenticated;
/// insufficient_privilege → kForbidden; else kInternal.
[[nodiscard]] ErrorKind error_kind_of(std::string_view sqlstate);

/// What the server said about the last failed call of a connection.
struct ServerError {
  std::string sqlstate;  ///< five characters; empty if the connection failed instead
  std::string message;
  std::string detail;
  std::string context;
  std::string constraint;                 ///< name of the violated constraint, if one was
  std::optional<std::int64_t> copy_line;  ///< 1-based row of the COPY that failed, from "COPY <table>, line N"
};

/// N of "COPY <table>, line N[, column c…]" anywhere in an error's context.
[[nodiscard]] std::optional<std::int64_t> copy_line_of(std::string_view context);

}  // namespace millrace::postgres
