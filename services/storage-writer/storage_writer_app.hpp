#pragma once

#include <memory>
#include <vector>

#include <millrace/observability/metrics.hpp>
#include <millrace/registry_view/registry_view.hpp>
#include <millrace/runtime/health.hpp>
#include <millrace/runtime/lifecycle.hpp>
#include <millrace/runtime/ops_server.hpp>

#include "acknowledged/acknowledged_keeper.hpp"
#include "batch/handover.hpp"
#include "batch/name_table.hpp"
#include "derived/derived_writer.hpp"
#include "log/log_reader.hpp"
#include "log/log_trimmer.hpp"
#include "store/committer.hpp"
#include "tiers/maintenance.hpp"
#include "writer_config.hpp"
#include "writer_metrics.hpp"

namespace millrace::writer {

/// The composition root: the only place that knows all parts. Members stand in the order they depend on each other.
class StorageWriterApp final : public runtime::App {
 public:
  explicit StorageWriterApp(Config config);
  ~StorageWriterApp() override;

  [[nodiscard]] Status start() override;
  [[nodiscard]] std::vector<runtime::Phase> stop_phases() override;

 private:
  void add_checks();
  [[nodiscard]] Status drain(runtime::Deadline deadline);

  Config config_;
  observability::Metrics metrics_;
  WriterMetrics writer_metrics_{metrics_};
  runtime::Health health_;
  Handover handover_;
  NameTable names_;
  registry_view::RegistryView registry_;
  Committer committer_;
  LogReader reader_;
  DerivedWriter derived_;
  Maintenance maintenance_;
  AcknowledgedKeeper acknowledged_;
  LogTrimmer trimmer_;
  std::unique_ptr<runtime::OpsServer> ops_;
};

/// `storage-writer migrate`: brings the schema up to date; prints what it did. Exit code.
[[nodiscard]] int migrate(const Config& config);

}  // namespace millrace::writer
