#pragma once

#include <cstdint>
#include <vector>

#include <millrace/base/time.hpp>

namespace millrace::gateway {

/// How many records of one partition this process has acknowledged, by hour of the broker's append time. A few
/// nanoseconds a record, no memory in the steady state. No lock: its owner has one.
class AckTally {
 public:
  struct Hour {
    TimeUs hour = 0;  ///< its beginning
    std::int32_t generation = 0;
    std::int64_t records = 0;
    std::int64_t highest_offset = 0;
    bool changed = false;  ///< since the last take_changed()
  };

  void add(TimeUs appended, std::int32_t generation, std::int64_t offset) {
    if (hours_.empty() || !holds(hours_[last_], appended, generation)) find(appended, generation);
    Hour& hour = hours_[last_];
    ++hour.records;
    if (offset > hour.highest_offset) hour.highest_offset = offset;
    hour.changed = true;
  }

  /// Appends the hours that have grown, with all that was ever counted in them; forgets old ones that have not.
  void take_changed(std::vector<Hour>& out);

 private:
  static constexpr TimeUs kHour = 3'600 * kUsPerSecond;
  static bool holds(const Hour& hour, TimeUs appended, std::int32_t generation) {
    return appended >= hour.hour && appended < hour.hour + kHour && hour.generation == generation;
  }
  void find(TimeUs appended, std::int32_t generation);

  std::vector<Hour> hours_;
  std::size_t last_ = 0;
};

}  // namespace millrace::gateway
