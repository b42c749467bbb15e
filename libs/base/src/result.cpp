#include <millrace/base/result.hpp>

namespace millrace {

std::string_view to_string(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInvalid:
      return "invalid";
    case ErrorKind::kUnauthenticated:
      return "unauthenticated";
    case ErrorKind::kForbidden:
      return "forbidden";
    case ErrorKind::kNotFound:
      return "not_found";
    case ErrorKind::kAlreadyExists:
      return "already_exists";
    case ErrorKind::kTooLarge:
      return "too_large";
    case ErrorKind::kThrottled:
      return "throttled";
    case ErrorKind::kUnavailable:
      return "unavailable";
    case ErrorKind::kUnknownOutcome:
      return "unknown_outcome";
    case ErrorKind::kConflict:
      return "conflict";
    case ErrorKind::kPrecondition:
      return "precondition";
    case ErrorKind::kCorrupt:
      return "corrupt";
    case ErrorKind::kInternal:
      return "internal";
  }
  return "internal";
}

bool is_retryable(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kThrottled:
    case ErrorKind::kUnavailable:
    case ErrorKind::kUnknownOutcome:
      return true;
    case ErrorKind::kInvalid:
    case ErrorKind::kUnauthenticated:
    case ErrorKind::kForbidden:
    case ErrorKind::kNotFound:
    case ErrorKind::kAlreadyExists:
    case ErrorKind::kTooLarge:
    case ErrorKind::kConflict:
    case ErrorKind::kPrecondition:
    case ErrorKind::kCorrupt:
    case ErrorKind::kInternal:
      return false;
  }
  return false;
}

}  // namespace millrace
