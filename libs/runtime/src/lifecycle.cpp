#include <csignal>
#include <cstdlib>
#include <mutex>

#include <pthread.h>
#include <unistd.h>

#include <millrace/observability/log.hpp>
#include <millrace/runtime/lifecycle.hpp>

namespace millrace::runtime {
namespace {

using observability::Logger;
using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Failures are handed to the waiting main thread as a signal, so that one sigwait serves both ways to stop.
constexpr int kFailureSignal = SIGUSR2;

std::mutex failure_mutex;
std::string failure_reason;

sigset_t handled_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  sigaddset(&set, kFailureSignal);
  return set;
}

void exit_on_second_signal() {
  sigset_t set = handled_signals();
  sigdelset(&set, kFailureSignal);
  sigdelset(&set, SIGHUP);
  // The default action ends the process; the handlers were never changed.
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

// Until a signal that ends the process.
int wait_for_stop(const Logger& log, App& app) {
  const sigset_t set = handled_signals();
  int signal = 0;
  while (sigwait(&set, &signal) != 0 || signal == SIGHUP) {
    if (signal != SIGHUP) continue;
    log.info("reading again what may change", {{"signal", signal}});
    app.reload();
  }
  return signal;
}

bool run_phases(const Logger& log, const std::vector<Phase>& phases, Deadline deadline) {
  bool clean = true;
  for (const Phase& phase : phases) {
    if (steady_clock::now() >= deadline) {
      log.error("shutdown phase skipped: the deadline has passed", {{"phase", phase.name}});
      clean = false;
      continue;
    }
    const auto begin = steady_clock::now();
    const Status status = phase.run(deadline);
    const auto took = duration_cast<milliseconds>(steady_clock::now() - begin).count();
    if (status.ok()) {
      log.info("shutdown phase done", {{"phase", phase.name}, {"ms", took}});
    } else {
      log.error("shutdown phase failed", {{"phase", phase.name}, {"ms", took}, {"error", status.error().message}});
      clean = false;
    }
  }
  return clean;
}

}  // namespace

void block_signals() {
  sigset_t set = handled_signals();
  sigaddset(&set, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

void request_failure(std::string reason) {
  {
    const std::lock_guard lock(failure_mutex);
    if (failure_reason.empty()) failure_reason = std::move(reason);
  }
  ::kill(::getpid(), kFailureSignal);
}

int run(App& app, milliseconds stop_deadline) {
  const Logger log("lifecycle");
  if (const Status started = app.start(); !started.ok()) {
    log.error("start failed", {{"error", started.error().message}});
    return 1;
  }
  log.info("started", {{"pid", ::getpid()}});
  const int signal = wait_for_stop(log, app);
  const bool failed = signal == kFailureSignal;
  if (failed) {
    const std::lock_guard lock(failure_mutex);
    log.error("stopping after a failure", {{"reason", failure_reason}});
  } else {
    log.info("stopping", {{"signal", signal}});
  }
  exit_on_second_signal();
  const bool clean = run_phases(log, app.stop_phases(), steady_clock::now() + stop_deadline);
  log.info("stopped", {{"clean", clean}});
  return failed ? 1 : 0;
}

}  // namespace millrace::runtime
