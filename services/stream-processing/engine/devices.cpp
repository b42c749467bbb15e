#include "engine/devices.hpp"

#include <algorithm>

namespace millrace::stream {

Device& Devices::of(const telemetry::Batch& batch, TimeUs log_time) {
  forget_silent(log_time);
  Device& device = devices_[batch.device_key];
  if (device.device.empty()) {
    device.tenant = batch.tenant;
    device.device = batch.device;
  }
  device.last_seen = log_time;
  return device;
}

// Most devices have a handful of series, which are found sooner by looking at each, and without an index to store.
Series& Devices::series_of(Device& device, std::string_view metric) {
  constexpr std::size_t kMany = 32;
  std::vector<Series>& all = device.series;
  if (all.size() < kMany) {
    const auto found = std::find_if(all.begin(), all.end(), [&](const Series& one) { return one.metric == metric; });
    if (found != all.end()) return *found;
  } else {
    for (std::size_t i = device.index.size(); i < all.size(); ++i) {
      device.index.emplace(all[i].metric, static_cast<std::uint32_t>(i));
    }
    const auto found = device.index.find(std::string(metric));
    if (found != device.index.end()) return all[found->second];
  }
  all.emplace_back();
  all.back().metric = metric;
  return all.back();
}

TimeUs Devices::window_of(TimeUs time) const {
  const TimeUs into = time % settings_.size;
  return time - (into < 0 ? into + settings_.size : into);
}

bool Devices::is_closed(const Device& device, TimeUs start) const {
  return start + settings_.size + settings_.lateness <= device.progress;
}

void Devices::count(std::int32_t device_key, Device& device, Series& series, const Arrival& arrival) {
  const TimeUs start = window_of(arrival.time);
  auto at = std::lower_bound(series.open.begin(), series.open.end(), start,
                             [this](std::uint32_t slot, TimeUs wanted) { return slots_[slot].start < wanted; });
  if (at == series.open.end() || slots_[*at].start != start) {
    const auto index = static_cast<std::uint32_t>(&series - device.series.data());
    at = series.open.insert(at, open_slot(device_key, index, arrival, start));
    device.next_close = std::min(device.next_close, start + settings_.size + settings_.lateness);
  }
  if (arrival.value) slots_[*at].window.add(arrival.time, arrival.timed, *arrival.value);
}

std::uint32_t Devices::open_slot(std::int32_t device_key, std::uint32_t series, const Arrival& arrival, TimeUs start) {
  std::uint32_t slot = 0;
  if (free_.empty()) {
    slot = static_cast<std::uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  slots_[slot] = Slot{.window = {},
                      .start = start,
                      .opened = arrival.log_time,
                      .offset = arrival.offset,
                      .device_key = device_key,
                      .series = series,
                      .previous = last_,
                      .next = kNone};
  (last_ == kNone ? first_ : slots_[last_].next) = slot;
  last_ = slot;
  ++open_count_;
  return slot;
}

void Devices::close(std::int32_t device_key, Device& device, std::uint32_t slot, Outputs* outputs) {
  Slot& closed = slots_[slot];
  Series& series = device.series[closed.series];
  const Figures figures = closed.window.figures();
  if (outputs != nullptr && figures.count > 0) {
    outputs->window({device.tenant, device.device, series.metric, device_key, closed.start, settings_.size, figures});
  }
  std::erase(series.open, slot);
  (closed.previous == kNone ? first_ : slots_[closed.previous].next) = closed.next;
  (closed.next == kNone ? last_ : slots_[closed.next].previous) = closed.previous;
  closed.window = {};
  free_.push_back(slot);
  --open_count_;
}

void Devices::advance(std::int32_t device_key, Device& device, TimeUs progress, Outputs* outputs) {
  device.progress = std::max(device.progress, progress);
  if (device.progress < device.next_close) return;
  device.next_close = Device::kNever;
  closing_.clear();
  for (const Series& series : device.series) {
    for (const std::uint32_t slot : series.open) {
      if (is_closed(device, slots_[slot].start))
        closing_.push_back(slot);
      else
        device.next_close = std::min(device.next_close, slots_[slot].start + settings_.size + settings_.lateness);
    }
  }
  // By start and metric: the order in which the series were first seen is another one after a recovery.
  std::sort(closing_.begin(), closing_.end(), [&](std::uint32_t a, std::uint32_t b) {
    const Slot& left = slots_[a];
    const Slot& right = slots_[b];
    if (left.start != right.start) return left.start < right.start;
    return device.series[left.series].metric < device.series[right.series].metric;
  });
  for (const std::uint32_t slot : closing_) close(device_key, device, slot, outputs);
}

TimeUs Devices::next_expiry() const {
  return first_ == kNone ? Device::kNever : slots_[first_].opened + settings_.size + settings_.lateness;
}

std::int64_t Devices::oldest_offset(std::int64_t none) const { return first_ == kNone ? none : slots_[first_].offset; }

// What comes later for this window is late, as if the device had gone on itself.
void Devices::close_oldest(Outputs* outputs) {
  const Slot& oldest = slots_[first_];
  advance(oldest.device_key, devices_.at(oldest.device_key), oldest.start + settings_.size + settings_.lateness,
          outputs);
}

void Devices::expire(TimeUs log_time, Outputs* outputs) {
  while (next_expiry() <= log_time) close_oldest(outputs);
}

void Devices::close_opened_before(std::int64_t offset) {
  while (first_ != kNone && slots_[first_].offset < offset) close_oldest(nullptr);
}

// Once an hour of log time, so that a fleet whose devices come and go does not fill the memory.
void Devices::forget_silent(TimeUs log_time) {
  constexpr TimeUs kPeriod = 3600 * kUsPerSecond;
  if (log_time - swept_ < kPeriod) return;
  swept_ = log_time;
  std::erase_if(devices_, [&](const auto& one) {
    const Device& device = one.second;
    return device.last_seen < log_time - settings_.device_age && device.next_close == Device::kNever;
  });
}

}  // namespace millrace::stream
