#pragma once

#include <memory>
#include <vector>

#include <millrace/observability/metrics.hpp>
#include <millrace/runtime/health.hpp>
#include <millrace/runtime/lifecycle.hpp>
#include <millrace/runtime/ops_server.hpp>

#include "archiver_config.hpp"
#include "archiver_metrics.hpp"
#include "work/archiver.hpp"

namespace millrace::archiver {

/// The composition root: the only place that knows all parts. Members stand in the order they depend on each other.
class StorageArchiverApp final : public runtime::App {
 public:
  explicit StorageArchiverApp(Config config) : config_(std::move(config)), archiver_(config_, archiver_metrics_) {}

  [[nodiscard]] Status start() override;
  [[nodiscard]] std::vector<runtime::Phase> stop_phases() override;

 private:
  Config config_;
  observability::Metrics metrics_;
  ArchiverMetrics archiver_metrics_{metrics_};
  runtime::Health health_;
  Archiver archiver_;
  std::unique_ptr<runtime::OpsServer> ops_;
};

/// `storage-archiver once`. Exit code.
[[nodiscard]] int run_once(const Config& config);

}  // namespace millrace::archiver
