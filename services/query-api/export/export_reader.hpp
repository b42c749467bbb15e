#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <millrace/archive/merge.hpp>
#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>
#include <millrace/storage_schema/value.hpp>

#include "read/patience.hpp"

namespace millrace::query_api {

struct ExportMetric {
  std::string name;
  storage_schema::MetricType type = storage_schema::MetricType::kUnknown;
};
using ExportMetrics = std::map<std::int32_t, ExportMetric>;

/// Devices whose keys follow each other without a gap: one stretch of the index.
struct KeyRun {
  std::int32_t first = 0;
  std::int32_t last = 0;
};
/// `keys` ascending, each once.
[[nodiscard]] std::vector<KeyRun> runs_of(const std::vector<std::int32_t>& keys);

/// What is exported, and of which devices.
struct ExportScope {
  std::string tenant;
  std::vector<std::string> metrics;  ///< empty: all
  TimeUs from = 0;
  TimeUs to = 0;
};

/// Rows of a run behind one row and up to another.
struct ExportStretch {
  KeyRun run;
  std::optional<archive::RowKey> after;
  std::optional<archive::RowKey> until;  ///< included; empty: the end of the run
};

struct ExportRows {
  std::vector<archive::OwnedRow> rows;      ///< in the order of (device, metric, time)
  std::optional<archive::RowKey> whole_to;  ///< none is missing up to here, included; empty: up to the end of the run
};

/// Points of all tiers of the database in the order of (device, metric, time), in pieces. Blocking, each call at most
/// as long as its patience. Thread-safe.
class ExportReader {
 public:
  explicit ExportReader(postgres::Pool& pool) : pool_(pool) {}

  /// The metrics of the scope by id. kNotFound names one that the tenant never sent.
  [[nodiscard]] Result<ExportMetrics> metrics(const ExportScope& scope, const Patience& patience);

  /// The first rows of a stretch: at most kRows, and about kBytes of text. There may be none although more follow.
  [[nodiscard]] Result<ExportRows> rows(const ExportScope& scope, const ExportMetrics& metrics,
                                        const ExportStretch& stretch, const Patience& patience);

  static constexpr std::int64_t kRows = 8'000;
  static constexpr std::int64_t kBytes = 500'000;

 private:
  postgres::Pool& pool_;
};

}  // namespace millrace::query_api
