#include "stream_processing_app.hpp"

#include <thread>

namespace millrace::stream {

StreamProcessingApp::StreamProcessingApp(Config config)
    : config_(std::move(config)),
      rules_(config_.kafka, config_.topics.rules()),
      generations_(config_.kafka, config_.topics.storage_progress(), config_.topics.telemetry()) {
  for (int i = 0; i < config_.workers; ++i) {
    workers_.push_back(std::make_unique<Worker>(config_, i, rules_, generations_, stream_metrics_));
  }
}

StreamProcessingApp::~StreamProcessingApp() { ops_.reset(); }

void StreamProcessingApp::add_checks() {
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    health_.add("worker " + std::to_string(i), [worker = workers_[i].get()] {
      const auto report = worker->report();
      return runtime::CheckResult{report.ok, report.detail};
    });
  }
  health_.add_detail("rules", [this] { return std::to_string(rules_.book()->size()) + " enabled"; });
}

void StreamProcessingApp::collect() {
  WorkerState::Figures sum;
  for (const auto& worker : workers_) {
    const WorkerState::Figures figures = worker->report().figures;
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
  for (const auto& worker : workers_) worker->start();
  return {};
}

Status StreamProcessingApp::wait_for_commit(runtime::Deadline deadline) {
  for (const auto& worker : workers_) {
    while (!worker->is_done()) {
      if (std::chrono::steady_clock::now() >= deadline)
        return Error{ErrorKind::kUnavailable, "a commit has no answer; its records are read again at the next start"};
      std::this_thread::sleep_for(std::chrono::milliseconds{5});
    }
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
         for (const auto& worker : workers_) worker->stop();
         return Status{};
       }},
      {"commit", [this](Deadline deadline) { return wait_for_commit(deadline); }},
      {"close",
       [this](Deadline) {
         for (const auto& worker : workers_) worker->join();
         rules_.stop();
         generations_.stop();
         return Status{};
       }},
  };
}

}  // namespace millrace::stream
