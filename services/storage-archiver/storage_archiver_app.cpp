#include "storage_archiver_app.hpp"

#include <cstdio>

namespace millrace::archiver {

Status StorageArchiverApp::start() {
  health_.add("archive", [this] {
    const auto state = archiver_.state();
    return runtime::CheckResult{state.ok, state.detail};
  });
  auto ops = runtime::OpsServer::start(config_.ops, health_, metrics_);
  if (!ops.ok()) return ops.error();
  ops_ = std::move(*ops);
  archiver_.start();
  return {};
}

std::vector<runtime::Phase> StorageArchiverApp::stop_phases() {
  using runtime::Deadline;
  return {
      {"not-ready",
       [this](Deadline) {
         health_.set_stopping();
         return Status{};
       }},
      {"close",
       [this](Deadline) {
         archiver_.stop();
         return Status{};
       }},
  };
}

int run_once(const Config& config) {
  observability::Metrics metrics;
  const ArchiverMetrics archiver_metrics(metrics);
  Archiver archiver(config, archiver_metrics);
  const Status done = archiver.pass();
  if (!done) {
    std::fprintf(stderr, "storage-archiver: %s\n", done.error().message.c_str());
    return 1;
  }
  std::printf("%s\n", archiver.state().detail.c_str());
  return 0;
}

}  // namespace millrace::archiver
