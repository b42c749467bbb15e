#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/base/time.hpp>
#include <millrace/postgres/connection.hpp>
#include <millrace/storage_schema/value.hpp>
#include <millrace/telemetry/batch.hpp>

#include "read/patience.hpp"

namespace millrace::query_api {

/// One metric of some devices of its tenant, by their keys.
struct Group {
  std::int32_t metric_id = 0;
  std::vector<std::int32_t> devices;
};

/// What cuts time into buckets: a width, or a unit of a time zone's calendar.
struct Cut {
  std::int64_t step_us = 0;  ///< 0: the unit
  std::string unit;          ///< `day`, `week`, `month`, `year`
  std::string zone;          ///< that PostgreSQL knows: see GroupReader::check_zone()
};

struct GroupBucket {
  TimeUs start = 0;
  TimeUs end = 0;
  std::int64_t count = 0;
  double sum = 0;
  double mean = 0;
  double min = 0;
  double max = 0;
  double first = 0;
  double last = 0;
  TimeUs first_time = 0;
  TimeUs last_time = 0;
  std::int64_t devices = 0;
};
struct GroupPage {
  std::vector<GroupBucket> buckets;
  std::optional<TimeUs> next_from;  ///< empty: no more
};

/// Figures of a device that can be compared.
enum class Measure { kMean, kMin, kMax, kSum, kCount };
enum class Rank { kHighest, kLowest };
struct Ranked {
  std::int32_t device_key = 0;
  double value = 0;
  std::int64_t count = 0;
};

/// The newest value of one series of many.
struct DeviceValue {
  std::int32_t device_key = 0;
  std::int32_t metric_id = 0;
  std::string metric;
  TimeUs time = 0;
  telemetry::Value value;
};
struct LatestPosition {
  std::int32_t device_key = 0;
  std::int32_t metric_id = 0;
};
struct LatestPage {
  std::vector<DeviceValue> values;
  std::optional<LatestPosition> next;  ///< of the last one given; empty: no more of these devices
};

/// What PostgreSQL holds of many devices at once. Computed in the database. Blocking, each call at most as long as its
/// patience, after which the statement is cancelled. Thread-safe.
class GroupReader {
 public:
  explicit GroupReader(postgres::Pool& pool) : pool_(pool) {}

  /// Buckets of the numbers in [from, to), at most `rows`. Each call reads only the stretch that its page covers.
  [[nodiscard]] Result<GroupPage> aggregate(const Group& group, const Cut& cut, TimeUs from, TimeUs to, int rows,
                                            const Patience& patience);

  /// When the earliest number of the group in [from, to) was; empty: there is none.
  [[nodiscard]] static Result<std::optional<TimeUs>> first_number(postgres::Connection& connection, const Group& group,
                                                                  TimeUs from, TimeUs to);

  /// At most `n` devices that have numbers in [from, to), the best first, equal ones by key.
  [[nodiscard]] Result<std::vector<Ranked>> top(const Group& group, TimeUs from, TimeUs to, Measure measure, Rank rank,
                                                int n, const Patience& patience);

  /// In the order of (device, metric), behind `after`: at most `rows`, and about SeriesReader::kPageBytes. Of the named
  /// metrics only if there are any.
  [[nodiscard]] Result<LatestPage> latest(const std::vector<std::int32_t>& devices,
                                          const std::vector<std::string>& metrics, const LatestPosition& after,
                                          int rows, const Patience& patience);

  /// kInvalid unless the database knows a time zone of exactly this name (it would take much else for one).
  [[nodiscard]] Status check_zone(const std::string& zone, const Patience& patience);

 private:
  postgres::Pool& pool_;
  std::mutex mutex_;
  std::set<std::string, std::less<>> zones_;  // names that were found
};

}  // namespace millrace::query_api
