#pragma once

#include <stdexcept>
#include <string>

namespace millrace::cli {

/// Exit codes that scripts may rely on.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;
/// Of `millrace receipt`.
inline constexpr int kExitPending = 3;
inline constexpr int kExitUnknown = 4;
inline constexpr int kExitNotStored = 5;

/// Ends a command: printed as `millrace: <what>` and, where there is one, `next: <what to do>`. A command line program
/// has one place that prints errors, so its commands throw.
class CommandError : public std::runtime_error {
 public:
  explicit CommandError(const std::string& what, std::string next = {}, int exit_code = kExitFailed)
      : std::runtime_error(what), next_(std::move(next)), exit_code_(exit_code) {}

  [[nodiscard]] const std::string& next() const { return next_; }
  [[nodiscard]] int exit_code() const { return exit_code_; }

 private:
  std::string next_;
  int exit_code_;
};

/// A mistake in the command line itself.
[[nodiscard]] inline CommandError usage_error(const std::string& what, std::string next = {}) {
  return CommandError(what, std::move(next), kExitUsage);
}

}  // namespace millrace::cli
