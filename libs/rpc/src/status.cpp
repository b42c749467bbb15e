#include <grpcpp/support/status.h>

#include <millrace/rpc/call.hpp>
#include <millrace/rpc/status.hpp>

namespace millrace::rpc {

std::string_view to_string(Code code) {
  switch (code) {
    case Code::kOk:
      return "OK";
    case Code::kCancelled:
      return "CANCELLED";
    case Code::kUnknown:
      return "UNKNOWN";
    case Code::kInvalidArgument:
      return "INVALID_ARGUMENT";
    case Code::kDeadlineExceeded:
      return "DEADLINE_EXCEEDED";
    case Code::kNotFound:
      return "NOT_FOUND";
    case Code::kAlreadyExists:
      return "ALREADY_EXISTS";
    case Code::kPermissionDenied:
      return "PERMISSION_DENIED";
    case Code::kResourceExhausted:
      return "RESOURCE_EXHAUSTED";
    case Code::kFailedPrecondition:
      return "FAILED_PRECONDITION";
    case Code::kAborted:
      return "ABORTED";
    case Code::kOutOfRange:
      return "OUT_OF_RANGE";
    case Code::kUnimplemented:
      return "UNIMPLEMENTED";
    case Code::kInternal:
      return "INTERNAL";
    case Code::kUnavailable:
      return "UNAVAILABLE";
    case Code::kDataLoss:
      return "DATA_LOSS";
    case Code::kUnauthenticated:
      return "UNAUTHENTICATED";
  }
  return "UNKNOWN";
}

Code to_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInvalid:
    case ErrorKind::kTooLarge:
      return Code::kInvalidArgument;
    case ErrorKind::kUnauthenticated:
      return Code::kUnauthenticated;
    case ErrorKind::kForbidden:
      return Code::kPermissionDenied;
    case ErrorKind::kNotFound:
      return Code::kNotFound;
    case ErrorKind::kAlreadyExists:
      return Code::kAlreadyExists;
    case ErrorKind::kThrottled:
      return Code::kResourceExhausted;
    case ErrorKind::kUnavailable:
      return Code::kUnavailable;
    case ErrorKind::kUnknownOutcome:
      return Code::kDeadlineExceeded;
    case ErrorKind::kConflict:
      return Code::kAborted;
    case ErrorKind::kPrecondition:
      return Code::kFailedPrecondition;
    case ErrorKind::kCorrupt:
      return Code::kDataLoss;
    case ErrorKind::kInternal:
      return Code::kInternal;
  }
  return Code::kInternal;
}

ErrorKind to_error_kind(Code code) {
  switch (code) {
    case Code::kInvalidArgument:
    case Code::kOutOfRange:
      return ErrorKind::kInvalid;
    case Code::kUnauthenticated:
      return ErrorKind::kUnauthenticated;
    case Code::kPermissionDenied:
      return ErrorKind::kForbidden;
    case Code::kNotFound:
      return ErrorKind::kNotFound;
    case Code::kAlreadyExists:
      return ErrorKind::kAlreadyExists;
    case Code::kResourceExhausted:
      return ErrorKind::kThrottled;
    case Code::kUnavailable:
      return ErrorKind::kUnavailable;
    case Code::kCancelled:
    case Code::kDeadlineExceeded:
      return ErrorKind::kUnknownOutcome;
    case Code::kAborted:
      return ErrorKind::kConflict;
    case Code::kFailedPrecondition:
      return ErrorKind::kPrecondition;
    case Code::kDataLoss:
      return ErrorKind::kCorrupt;
    case Code::kOk:
    case Code::kUnknown:
    case Code::kUnimplemented:
    case Code::kInternal:
      return ErrorKind::kInternal;
  }
  return ErrorKind::kInternal;
}

grpc::Status to_grpc_status(const Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const Error& error = status.error();
  const auto code = static_cast<grpc::StatusCode>(to_code(error.kind));
  if (error.kind == ErrorKind::kInternal || error.kind == ErrorKind::kCorrupt) {
    return {code, "internal error; the server's log has the details"};
  }
  return {code, error.message};
}

Status from_grpc_status(const grpc::Status& status) {
  if (status.ok()) return {};
  return Error{to_error_kind(static_cast<Code>(status.error_code())), status.error_message()};
}

}  // namespace millrace::rpc
