#include "log/worker.hpp"

#include <millrace/base/backoff.hpp>

namespace millrace::stream {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kLook{10};

}  // namespace

Worker::Worker(Session session, Ready ready, observability::Counter restarts)
    : session_(std::move(session)), ready_(std::move(ready)), restarts_(restarts) {
  state_.note(false, "not started yet");
}

void Worker::start() {
  state_.beat();
  thread_ = std::thread([self = shared_from_this()] { self->run(); });
}

void Worker::join() {
  if (thread_.joinable()) thread_.join();
}

void Worker::abandon() {
  stopping_ = true;
  restarts_.add();
  if (thread_.joinable()) thread_.detach();
}

// Without the rules every open alert would be cleared; without the generations receipts would be wrong.
bool Worker::wait_until_ready() {
  while (!ready_()) {
    if (stopping_) return false;
    state_.beat();
    state_.note(false, "the topics rules and storage-progress were not read to their end yet");
    std::this_thread::sleep_for(kLook);
  }
  return true;
}

void Worker::run() {
  Backoff backoff{milliseconds{200}, milliseconds{3'000}};
  while (!stopping_ && wait_until_ready()) {
    const auto begun = steady_clock::now();
    Status ended;
    try {
      ended = session_(state_, stopping_);
    } catch (const std::exception& fault) {
      ended = Error{ErrorKind::kInternal, fault.what()};
    }
    if (ended) break;
    restarts_.add();
    state_.note(false, ended.error().message);
    log_.limited(limiter_, observability::Level::kWarn, "the worker begins again", {{"error", ended.error().message}});
    if (steady_clock::now() - begun > std::chrono::seconds{30}) backoff.reset();
    const auto until = steady_clock::now() + backoff.next();
    while (!stopping_ && steady_clock::now() < until) {
      state_.beat();
      std::this_thread::sleep_for(kLook);
    }
  }
  done_ = true;
}

}  // namespace millrace::stream
