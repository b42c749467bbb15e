#include "read/group_fold.hpp"

#include <algorithm>

namespace millrace::query_api {
namespace {

long double figure_of(const Totals& totals, Measure measure) {
  switch (measure) {
    case Measure::kMean:
      return totals.sum / static_cast<long double>(totals.count);
    case Measure::kSum:
      return totals.sum;
    case Measure::kMin:
      return totals.min;
    case Measure::kMax:
      return totals.max;
    case Measure::kCount:
      break;
  }
  return static_cast<long double>(totals.count);
}

}  // namespace

std::optional<std::size_t> DeviceIndex::find(std::int32_t device) {
  if (last_ != device) {
    last_ = device;
    const auto at = std::lower_bound(devices_.begin(), devices_.end(), device);
    found_.reset();
    if (at != devices_.end() && *at == device) found_ = static_cast<std::size_t>(at - devices_.begin());
  }
  return found_;
}

void Totals::add(double value) {
  min = count == 0 ? value : std::min(min, value);
  max = count == 0 ? value : std::max(max, value);
  sum += value;
  ++count;
}

GroupFold::GroupFold(std::vector<TimeUs> bounds, std::span<const std::int32_t> devices)
    : bounds_(std::move(bounds)), devices_(devices), parts_(bounds_.size() - 1) {}

GroupFold::Part* GroupFold::part_at(TimeUs time) {
  if (time < bounds_.front() || time >= bounds_.back()) return nullptr;
  if (time < bounds_[last_] || time >= bounds_[last_ + 1]) {
    last_ = static_cast<std::size_t>(std::upper_bound(bounds_.begin(), bounds_.end(), time) - bounds_.begin()) - 1;
  }
  return &parts_[last_];
}

void GroupFold::add(std::int32_t device, TimeUs time, double value) {
  const auto index = devices_.find(device);
  Part* part = index ? part_at(time) : nullptr;
  if (part == nullptr) return;
  const bool begins = part->totals.count == 0;
  if (begins) part->seen.resize(devices_.size());
  // Of equal times the device with the lower key is the first, the one with the higher key the last.
  if (begins || time < part->first_time || (time == part->first_time && device < part->first_device)) {
    part->first = value;
    part->first_time = time;
    part->first_device = device;
  }
  if (begins || time > part->last_time || (time == part->last_time && device > part->last_device)) {
    part->last = value;
    part->last_time = time;
    part->last_device = device;
  }
  part->totals.add(value);
  if (!part->seen[*index]) {
    part->seen[*index] = true;
    ++part->devices;
  }
}

std::vector<GroupBucket> GroupFold::buckets() const {
  std::vector<GroupBucket> buckets;
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    const Part& part = parts_[i];
    if (part.totals.count == 0) continue;
    buckets.push_back({.start = bounds_[i],
                       .end = bounds_[i + 1],
                       .count = part.totals.count,
                       .sum = static_cast<double>(part.totals.sum),
                       .mean = static_cast<double>(figure_of(part.totals, Measure::kMean)),
                       .min = part.totals.min,
                       .max = part.totals.max,
                       .first = part.first,
                       .last = part.last,
                       .first_time = part.first_time,
                       .last_time = part.last_time,
                       .devices = part.devices});
  }
  return buckets;
}

void RankFold::add(std::int32_t device, double value) {
  if (const auto index = devices_.find(device)) totals_[*index].add(value);
}

std::vector<Ranked> RankFold::best(Measure measure, Rank rank, int n) const {
  struct Entry {
    long double figure = 0;
    std::size_t index = 0;
  };
  std::vector<Entry> entries;
  for (std::size_t i = 0; i < totals_.size(); ++i) {
    if (totals_[i].count > 0) entries.push_back({figure_of(totals_[i], measure), i});
  }
  const auto end = entries.begin() + std::min<std::ptrdiff_t>(n, std::ssize(entries));
  std::partial_sort(entries.begin(), end, entries.end(), [rank](const Entry& a, const Entry& b) {
    if (a.figure != b.figure) return rank == Rank::kHighest ? a.figure > b.figure : a.figure < b.figure;
    return a.index < b.index;
  });
  std::vector<Ranked> best;
  for (auto entry = entries.begin(); entry != end; ++entry) {
    best.push_back({keys_[entry->index], static_cast<double>(entry->figure), totals_[entry->index].count});
  }
  return best;
}

}  // namespace millrace::query_api
