#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <millrace/registry_view/registry_view.hpp>

#include "export/archived_rows.hpp"
#include "export/export_reader.hpp"
#include "export/point_encoder.hpp"
#include "read/look_back.hpp"
#include "read/tiered_reader.hpp"

namespace millrace::query_api {

struct ExportPiece {
  std::string data;
  std::int64_t points = 0;
  bool last = false;  ///< nothing follows
};

/// What an export reads from.
struct ExportSources {
  ExportReader& reader;
  TieredReader& tiers;
  ColdReader& cold;
  const registry_view::RegistryView& registry;
};

/// One export from its first piece to its last. One thread at a time; keeps no connection between two pieces, no worker
/// process but that of its encoder, and of archived days some rows that were read ahead.
class ExportJob {
 public:
  ExportJob(const ExportSources& sources, ExportScope scope, const std::vector<std::int32_t>& device_keys,
            std::unique_ptr<PointEncoder> encoder)
      : sources_(sources),
        from_(scope.from),
        scope_(std::move(scope)),
        runs_(runs_of(device_keys)),
        archived_(sources.cold),
        encoder_(std::move(encoder)) {
    scope_.from = look_back(from_);
  }

  /// At most about 3 MB. Blocks as long as `patience`.
  [[nodiscard]] Result<ExportPiece> next(const Patience& patience);

 private:
  [[nodiscard]] Status learn_metrics(const Patience& patience);
  [[nodiscard]] Status add_points(const Patience& patience, ExportPiece& piece);
  /// The next rows of the run, of database and archive.
  [[nodiscard]] Result<ExportRows> rows(const Patience& patience);
  [[nodiscard]] Status append(const archive::Row& row, const ExportMetric& metric, ExportPiece& piece);
  [[nodiscard]] const std::string* device_named(std::int32_t key);

  const ExportSources sources_;
  const TimeUs from_;
  ExportScope scope_;  // what is read
  const std::vector<KeyRun> runs_;
  std::size_t run_ = 0;
  std::optional<archive::RowKey> after_;
  std::optional<ExportMetrics> metrics_;  // as they were when it began: one that came later is in no piece
  ArchivedRows archived_;
  const std::unique_ptr<PointEncoder> encoder_;
  // Of the row before: most rows are of the same device.
  std::int32_t device_key_ = 0;
  std::optional<std::string> device_;
};

}  // namespace millrace::query_api
