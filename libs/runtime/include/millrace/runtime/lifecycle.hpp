#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include <millrace/base/result.hpp>

namespace millrace::runtime {

using Deadline = std::chrono::steady_clock::time_point;

/// One step of a shutdown. The usual names, in this order: not-ready, stop intake, drain, flush, commit, close.
struct Phase {
  std::string name;
  std::function<Status(Deadline)> run;  ///< returns at the deadline at the latest
};

/// A service as main() sees it.
class App {
 public:
  virtual ~App() = default;

  /// Starts everything and returns; an Error ends the process with exit code 1.
  [[nodiscard]] virtual Status start() = 0;

  /// SIGHUP: reads again what may change while it runs, such as certificates. Returns at once.
  virtual void reload() {}

  /// The steps of a clean stop, in order.
  [[nodiscard]] virtual std::vector<Phase> stop_phases() = 0;
};

/// Blocks SIGTERM, SIGINT, SIGHUP and SIGPIPE in this thread and all it will start. First line of main().
void block_signals();

/// Asks the running lifecycle to stop with exit code 1 (a broken invariant found at run time). Thread-safe, returns at
/// once.
void request_failure(std::string reason);

/// start(), wait for SIGTERM or SIGINT (a second one ends the process at once; SIGHUP is reload()), run the phases
/// under one deadline; each is logged with its time, a phase skipped because the deadline passed is an error line.
/// Returns the exit code: 0 after a clean stop, 1 after a failed start or a failure.
[[nodiscard]] int run(App& app, std::chrono::milliseconds stop_deadline);

}  // namespace millrace::runtime
