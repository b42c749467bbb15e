#pragma once

#include <optional>
#include <string>
#include <vector>

#include <millrace/registry_view/registry_view.hpp>

#include "export/export_reader.hpp"

namespace millrace::query_api {

struct ExportPiece {
  std::string data;
  std::int64_t points = 0;
  bool last = false;  ///< nothing follows
};

/// One export from its first piece to its last. One thread at a time; keeps no connection between two pieces.
class ExportJob {
 public:
  ExportJob(ExportReader& reader, const registry_view::RegistryView& registry, ExportScope scope,
            const std::vector<std::int32_t>& device_keys)
      : reader_(reader), registry_(registry), scope_(std::move(scope)), runs_(runs_of(device_keys)) {}

  /// At most about 3 MB. Blocks as long as `patience`.
  [[nodiscard]] Result<ExportPiece> next(const Patience& patience);

 private:
  [[nodiscard]] Status learn_metrics(const Patience& patience);
  [[nodiscard]] Status append(const ExportRow& row, ExportPiece& piece);
  [[nodiscard]] const std::string* device_named(std::int32_t key);

  ExportReader& reader_;
  const registry_view::RegistryView& registry_;
  const ExportScope scope_;
  const std::vector<KeyRun> runs_;
  std::size_t run_ = 0;
  std::optional<ExportPosition> after_;
  std::optional<ExportMetrics> metrics_;
  // Of the row before: most rows are of the same device.
  std::int32_t device_key_ = 0;
  std::optional<std::string> device_;
};

}  // namespace millrace::query_api
