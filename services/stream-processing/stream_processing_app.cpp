#include "stream_processing_app.hpp"

#include <cstdlib>
#include <thread>

#include "log/session.hpp"

namespace millrace::stream {
namespace {

// Twice what the longest single call of a session may take (its time-outs are 10 and 15 s).
constexpr std::chrono::seconds kStallAfter{30};

}  // namespace

StreamProcessingApp::StreamProcessingApp(Config config)
    : config_(std::move(config)),
      rules_(config_.kafka, config_.topics.rules()),
      generations_(config_.kafka, config_.topics.storage_progress(), config_.topics.telemetry()),
      workers_(config_.workers, [this](int number) { return make_worker(number); }, kStallAfter) {}

StreamProcessingApp::~StreamProcessingApp() { ops_.reset(); }

std::shared_ptr<Worker> StreamProcessingApp::make_worker(int number) {
  const std::string member = config_.group + "." + config_.instance + "." + std::to_string(number);
  return std::make_shared<Worker>(
      [this, member](WorkerState& state, const std::atomic<bool>& stopping) {
        return Session({config_, member, rules_, generations_, stream_metrics_, state, stopping}).run();
      },
      [this] { return rules_.ready() && generations_.ready(); }, stream_metrics_.restarts);
}

void StreamProcessingApp::add_checks() {
  for (std::size_t i = 0; i < static_cast<std::size_t>(config_.workers); ++i) {
    health_.add("worker " + std::to_string(i), [this, i] {
      const auto report = workers_.reports()[i];
      return runtime::CheckResult{report.ok, report.detail};
    });
  }
  health_.add_detail("rules", [this] { return std::to_string(rules_.book()->size()) + " enabled"; });
}

void StreamProcessingApp::collect() {
  WorkerState::Figures sum;
  for (const auto& report : workers_.reports()) {
    const WorkerState::Figures& figures = report.figures;
    sum.partitions += figures.partitions;
    sum.stopped += figures.stopped;
    sum.open_windows += figures.open_windows;
    sum.open_alerts += figures.open_alerts;
    sum.devices += figures.devices;
    sum.lag_records += figures.lag_records;
    sum.uncommitted += figures.uncommitted;
  }
  stream_metrics_.partitions.set(static_cast<double>(sum.partitions));
  stream_metrics_.stopped_partitions.set(static_cast<double>(sum.stopped));
  stream_metrics_.open_windows.set(static_cast<double>(sum.open_windows));
  stream_metrics_.open_alerts.set(static_cast<double>(sum.open_alerts));
  stream_metrics_.devices.set(static_cast<double>(sum.devices));
  stream_metrics_.lag_records.set(static_cast<double>(sum.lag_records));
  stream_metrics_.uncommitted_results.set(static_cast<double>(sum.uncommitted));
  stream_metrics_.rules.set(static_cast<double>(rules_.book()->size()));
}

Status StreamProcessingApp::start() {
  add_checks();
  metrics_.on_collect([this] { collect(); });
  auto ops = runtime::OpsServer::start(config_.ops, health_, metrics_);
  if (!ops.ok()) return ops.error();
  ops_ = std::move(*ops);
  rules_.start();
  generations_.start();
  workers_.start();
  return {};
}

Status StreamProcessingApp::wait_for_commit(runtime::Deadline deadline) {
  while (!workers_.are_done()) {
    if (std::chrono::steady_clock::now() >= deadline)
      return Error{ErrorKind::kUnavailable, "a commit has no answer; its records are read again at the next start"};
    std::this_thread::sleep_for(std::chrono::milliseconds{5});
  }
  return {};
}

std::vector<runtime::Phase> StreamProcessingApp::stop_phases() {
  using runtime::Deadline;
  return {
      {"not-ready",
       [this](Deadline) {
         health_.set_stopping();
         return Status{};
       }},
      {"stop intake",
       [this](Deadline) {
         workers_.stop();
         return Status{};
       }},
      {"commit", [this](Deadline deadline) { return wait_for_commit(deadline); }},
      {"close",
       [this](Deadline) {
         if (!workers_.join()) {
           log_.warn("a thread hangs inside the Kafka library: the process ends without it");
           std::_Exit(EXIT_SUCCESS);
         }
         rules_.stop();
         generations_.stop();
         return Status{};
       }},
  };
}

}  // namespace millrace::stream
