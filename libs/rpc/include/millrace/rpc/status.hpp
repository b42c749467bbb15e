#pragma once

#include <string_view>

#include <millrace/base/result.hpp>

namespace millrace::rpc {

/// gRPC status codes by their numbers (grpc/status.h), so that nobody needs gRPC's headers to name one.
enum class Code {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

/// `OK`, `INVALID_ARGUMENT`: gRPC's own names, for logs and metric labels.
[[nodiscard]] std::string_view to_string(Code code);

[[nodiscard]] Code to_code(ErrorKind kind);

/// What a client makes of a code that is not kOk. A deadline or a cancellation means that the outcome is unknown.
[[nodiscard]] ErrorKind to_error_kind(Code code);

}  // namespace millrace::rpc
