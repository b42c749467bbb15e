#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "read/group_reader.hpp"

namespace millrace::query_api {

/// Where a key stands among the devices of a group, ascending. Rows come device by device: the last look is kept.
class DeviceIndex {
 public:
  explicit DeviceIndex(std::span<const std::int32_t> devices) : devices_(devices) {}
  /// Empty: it is none of them.
  [[nodiscard]] std::optional<std::size_t> find(std::int32_t device);
  [[nodiscard]] std::size_t size() const { return devices_.size(); }

 private:
  std::span<const std::int32_t> devices_;
  std::optional<std::int32_t> last_;
  std::optional<std::size_t> found_;
};

/// Figures of numbers that come in any order. The wider type holds the sum of any number of doubles.
struct Totals {
  std::int64_t count = 0;
  long double sum = 0;
  double min = 0;
  double max = 0;
  void add(double value);
};

/// Makes the buckets of a group of its numbers, in any order; says what GroupReader::aggregate says. Pure; memory of a
/// bit for each bucket and device.
class GroupFold {
 public:
  /// Buckets are [bounds[i], bounds[i + 1]); `bounds` and `devices` ascending, `devices` lives as long as this.
  GroupFold(std::vector<TimeUs> bounds, std::span<const std::int32_t> devices);

  /// A number of another device or outside of the bounds is passed over.
  void add(std::int32_t device, TimeUs time, double value);
  /// In order; those without numbers are left out.
  [[nodiscard]] std::vector<GroupBucket> buckets() const;

 private:
  struct Part {
    Totals totals;
    double first = 0;
    double last = 0;
    TimeUs first_time = 0;
    TimeUs last_time = 0;
    std::int32_t first_device = 0;
    std::int32_t last_device = 0;
    std::vector<bool> seen;  // by index of the device
    std::int64_t devices = 0;
  };

  [[nodiscard]] Part* part_at(TimeUs time);

  const std::vector<TimeUs> bounds_;
  DeviceIndex devices_;
  std::vector<Part> parts_;
  std::size_t last_ = 0;
};

/// Ranks the devices of a group by a figure of their numbers, as GroupReader::top does. Pure.
class RankFold {
 public:
  /// `devices` ascending; lives as long as this.
  explicit RankFold(std::span<const std::int32_t> devices)
      : keys_(devices), devices_(devices), totals_(devices.size()) {}

  void add(std::int32_t device, double value);
  /// At most `n`, the best first, equal ones by key.
  [[nodiscard]] std::vector<Ranked> best(Measure measure, Rank rank, int n) const;

 private:
  std::span<const std::int32_t> keys_;
  DeviceIndex devices_;
  std::vector<Totals> totals_;
};

}  // namespace millrace::query_api
