#pragma once

#include <csignal>

namespace millrace::cli {

/// Ctrl-C and SIGTERM end a command in order: they are waited for (sigtimedwait) instead of ending the process. Must
/// be called before gRPC starts its threads.
inline sigset_t block_stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

}  // namespace millrace::cli
