#include "ingest/ack_tally.hpp"

#include <algorithm>

namespace millrace::gateway {
namespace {

// No report of an hour comes so much later: its record would have been in flight for as long.
constexpr std::size_t kMostHours = 64;

}  // namespace

void AckTally::find(TimeUs appended, std::int32_t generation) {
  const auto found =
      std::find_if(hours_.begin(), hours_.end(), [&](const Hour& hour) { return holds(hour, appended, generation); });
  last_ = static_cast<std::size_t>(found - hours_.begin());
  if (found == hours_.end()) hours_.push_back({appended - appended % kHour, generation, 0, 0, false});
}

void AckTally::take_changed(std::vector<Hour>& out) {
  for (Hour& hour : hours_) {
    if (!hour.changed) continue;
    out.push_back(hour);
    hour.changed = false;
  }
  if (hours_.size() <= kMostHours) return;
  hours_.erase(hours_.begin(), hours_.end() - static_cast<std::ptrdiff_t>(kMostHours / 2));
  last_ = hours_.size() - 1;
}

}  // namespace millrace::gateway
