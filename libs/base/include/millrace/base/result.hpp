#pragma once

#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace millrace {

/// Why something failed, as far as a caller must act on it. Closed: each target (HTTP status, gRPC status, metric
/// label, disposition of a record) is translated from it in one switch without default.
enum class ErrorKind {
  kInvalid,          ///< the caller's input is wrong; the same call fails again
  kUnauthenticated,  ///< who is it
  kForbidden,        ///< known, but not allowed
  kNotFound,
  kAlreadyExists,
  kTooLarge,        ///< a size limit; the message names it
  kThrottled,       ///< a rate limit; may be tried later
  kUnavailable,     ///< a dependency is away; nothing was done; may be tried later
  kUnknownOutcome,  ///< it may or may not have been done
  kConflict,        ///< somebody else was first (fenced, version changed)
  kPrecondition,    ///< what the call is about is in a state that does not allow it
  kCorrupt,         ///< stored data contradicts itself; needs a person
  kInternal,        ///< a fault of ours
};

/// `invalid`, `unauthenticated` and so on: stable, for logs and metric labels.
[[nodiscard]] std::string_view to_string(ErrorKind kind);

/// True where the same call may succeed later without a change by the caller.
[[nodiscard]] bool is_retryable(ErrorKind kind);

struct Error {
  ErrorKind kind = ErrorKind::kInternal;
  std::string message;  ///< one sentence for a person: what, which value, which limit
};

/// A value or an Error. No exceptions on the data path; value() on an error ends the process, so test first.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  [[nodiscard]] T& value() & { return *checked(); }
  [[nodiscard]] const T& value() const& { return *const_cast<Result*>(this)->checked(); }
  [[nodiscard]] T&& value() && { return std::move(*checked()); }
  [[nodiscard]] T& operator*() & { return value(); }
  [[nodiscard]] const T& operator*() const& { return value(); }
  [[nodiscard]] T* operator->() { return checked(); }
  [[nodiscard]] const T* operator->() const { return const_cast<Result*>(this)->checked(); }

  [[nodiscard]] const Error& error() const { return *std::get_if<1>(&state_); }

 private:
  T* checked() {
    T* value = std::get_if<0>(&state_);
    if (value == nullptr) std::abort();
    return value;
  }

  std::variant<T, Error> state_;
};

/// Success or an Error.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)), failed_(true) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool ok() const { return !failed_; }
  explicit operator bool() const { return ok(); }
  [[nodiscard]] const Error& error() const { return error_; }

 private:
  Error error_;
  bool failed_ = false;
};

using Status = Result<void>;

}  // namespace millrace
