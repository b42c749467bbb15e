#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

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

/// The row given last.
struct ExportPosition {
  std::int32_t device_key = 0;
  std::int32_t metric_id = 0;
  TimeUs time = 0;
};

struct ExportRow {
  ExportPosition at;
  storage_schema::Cell cell;
  bool untimed = false;
};

/// Points of all tiers in the order of (device, metric, time), in pieces. Blocking, each call at most as long as its
/// patience. Thread-safe.
class ExportReader {
 public:
  explicit ExportReader(postgres::Pool& pool) : pool_(pool) {}

  /// The metrics of the scope by id. kNotFound names one that the tenant never sent.
  [[nodiscard]] Result<ExportMetrics> metrics(const ExportScope& scope, const Patience& patience);

  /// The next rows of a run behind `after`: at most kRows, and about kBytes of text. Fewer only at its end; calls `row`
  /// for each.
  [[nodiscard]] Result<std::int64_t> rows(const ExportScope& scope, const ExportMetrics& metrics, const KeyRun& run,
                                          const std::optional<ExportPosition>& after, const Patience& patience,
                                          const std::function<void(const ExportRow&)>& row);

  /// Whether a piece with so many rows and bytes of text was cut, so that there may be more.
  [[nodiscard]] static bool may_go_on(std::int64_t rows, std::size_t bytes) { return rows >= kRows || bytes >= kBytes; }

  static constexpr std::int64_t kRows = 8'000;
  static constexpr std::size_t kBytes = 500'000;

 private:
  postgres::Pool& pool_;
};

}  // namespace millrace::query_api
