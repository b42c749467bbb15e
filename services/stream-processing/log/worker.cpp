#include "log/worker.hpp"

#include <millrace/base/backoff.hpp>

namespace millrace::stream {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kLook{10};

}  // namespace

Worker::Worker(const Config& config, int number, RuleFeed& rules, const telemetry_log::LogGenerations& generations,
               const StreamMetrics& metrics)
    : config_(config),
      member_(config.group + "." + config.instance + "." + std::to_string(number)),
      rules_(rules),
      generations_(generations),
      metrics_(metrics) {
  state_.note(false, "not started yet");
}

Worker::~Worker() {
  stop();
  join();
}

void Worker::start() {
  thread_ = std::thread([this] { run(); });
}

void Worker::join() {
  if (thread_.joinable()) thread_.join();
}

// Without the rules every open alert would be cleared; without the generations receipts would be wrong.
bool Worker::wait_for_copies() {
  while (!rules_.ready() || !generations_.ready()) {
    if (stopping_) return false;
    state_.note(false, "the topics rules and storage-progress were not read to their end yet");
    std::this_thread::sleep_for(kLook);
  }
  return true;
}

void Worker::run() {
  Backoff backoff{milliseconds{200}, milliseconds{3'000}};
  while (!stopping_ && wait_for_copies()) {
    const auto begun = steady_clock::now();
    Status ended;
    try {
      Session session({config_, member_, rules_, generations_, metrics_, state_, stopping_});
      ended = session.run();
    } catch (const std::exception& fault) {
      ended = Error{ErrorKind::kInternal, fault.what()};
    }
    if (ended) break;
    metrics_.restarts.add();
    state_.note(false, ended.error().message);
    log_.limited(limiter_, observability::Level::kWarn, "the worker begins again", {{"error", ended.error().message}});
    if (steady_clock::now() - begun > std::chrono::seconds{30}) backoff.reset();
    const auto until = steady_clock::now() + backoff.next();
    while (!stopping_ && steady_clock::now() < until) std::this_thread::sleep_for(kLook);
  }
  done_ = true;
}

}  // namespace millrace::stream
