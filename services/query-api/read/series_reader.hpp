#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>
#include <millrace/postgres/pool.hpp>
#include <millrace/storage_schema/value.hpp>
#include <millrace/telemetry/batch.hpp>

#include "read/patience.hpp"

namespace millrace::query_api {

struct LatestValue {
  std::string metric;
  TimeUs time = 0;
  telemetry::Value value;
};

struct Series {
  std::int32_t device_key = 0;
  std::int32_t metric_id = 0;
  storage_schema::MetricType type = storage_schema::MetricType::kDouble;
};

/// [from, to) and where to go on.
struct Window {
  TimeUs from = 0;
  TimeUs to = 0;
  int rows = 1'000;
  /// Of a page that follows another one: what makes room for others in archived days is read from here on. At most
  /// `from`.
  std::optional<TimeUs> since = {};
};

struct Sample {
  TimeUs time = 0;
  telemetry::Value value;
  bool untimed = false;
};
struct SamplePage {
  std::vector<Sample> samples;
  std::optional<TimeUs> next_from;   ///< empty: no more
  std::optional<TimeUs> since = {};  ///< that of the window which goes on
};

/// What PostgreSQL holds. Blocking, each call at most as long as its patience, after which the statement is cancelled.
/// Thread-safe. kUnavailable: no database; kThrottled: all connections are busy until the deadline.
class SeriesReader {
 public:
  explicit SeriesReader(postgres::Pool& pool) : pool_(pool) {}

  /// Newest values by metric name; of the named metrics only if there are any.
  [[nodiscard]] Result<std::vector<LatestValue>> latest(std::int32_t device_key,
                                                        const std::vector<std::string>& metrics,
                                                        const Patience& patience);

  /// kNotFound naming the metric if the tenant never sent one of that name. A metric keeps its number and, once known,
  /// its type; what was found is kept for kKept, so that a database that was restored is looked into again.
  [[nodiscard]] Result<Series> resolve(std::string_view tenant, std::int32_t device_key, const std::string& metric,
                                       const Patience& patience);

  /// Raw points in time order: at most `window.rows`, and about kPageBytes.
  [[nodiscard]] Result<SamplePage> samples(const Series& series, const Window& window, const Patience& patience);

  static constexpr std::int64_t kPageBytes = 3 << 20;  ///< below the 4 MB that gRPC clients take by default
  static constexpr std::chrono::seconds kKept{5};
  static constexpr std::size_t kMostKept = 10'000;  ///< metrics

 private:
  struct Known {
    std::int32_t metric_id = 0;
    storage_schema::MetricType type = storage_schema::MetricType::kUnknown;
    std::chrono::steady_clock::time_point until;
  };

  [[nodiscard]] std::optional<Known> known(const std::string& key) const;
  void keep(const std::string& key, const Known& found);

  postgres::Pool& pool_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Known> known_;  // by tenant and name
};

}  // namespace millrace::query_api
