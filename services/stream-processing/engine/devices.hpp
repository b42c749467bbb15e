#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <millrace/base/time.hpp>

#include "engine/alerts.hpp"
#include "engine/outputs.hpp"
#include "engine/window.hpp"

namespace millrace::stream {

struct WindowSettings {
  TimeUs size = 60 * kUsPerSecond;
  /// A window is closed when its device is this far beyond its end, or after size and lateness in log time.
  TimeUs lateness = 60 * kUsPerSecond;
  /// A device is forgotten after this silence in log time.
  TimeUs device_age = 24 * 3600 * kUsPerSecond;
};

/// One metric of one device.
struct Series {
  std::string metric;
  RuledSeries ruled;
  std::vector<std::uint32_t> open;  ///< slots of its open windows, by start
};

struct Device {
  static constexpr TimeUs kNever = std::numeric_limits<TimeUs>::max();

  std::string tenant;
  std::string device;
  std::vector<Series> series;
  std::unordered_map<std::string, std::uint32_t> index;  ///< of `series` by metric, once there are many
  /// Greatest event time seen. Windows that end `lateness` before it are closed.
  TimeUs progress = std::numeric_limits<TimeUs>::min();
  TimeUs next_close = kNever;  ///< progress at which its first open window closes
  TimeUs last_seen = 0;        ///< log time
};

/// The open windows of one partition, by device and in the order of their opening. A window closes by its own device's
/// progress, so that a device that sends an old day does not wait for, and is not cut off by, the others; and by log
/// time, so that a silent device's windows come out and so that what must be read again after a crash is bounded.
/// Pure; one thread.
class Devices {
 public:
  explicit Devices(const WindowSettings& settings) : settings_(settings) {}

  /// The device of a record, known from then on.
  [[nodiscard]] Device& of(const telemetry::Batch& batch, TimeUs log_time);

  /// The series of a metric, known from then on.
  [[nodiscard]] static Series& series_of(Device& device, std::string_view metric);

  /// Start of the window that a time belongs to.
  [[nodiscard]] TimeUs window_of(TimeUs time) const;
  /// Whether the window that starts at `start` is closed for the device.
  [[nodiscard]] bool is_closed(const Device& device, TimeUs start) const;

  struct Arrival {
    TimeUs time = 0;
    bool timed = false;
    /// None for a reading that is no number: it is not counted, but its window is open and nothing before it is
    /// forgotten.
    std::optional<double> value;
    std::int64_t offset = 0;  ///< of the record
    TimeUs log_time = 0;
  };
  /// Puts a reading into its window, which must not be closed.
  void count(std::int32_t device_key, Device& device, Series& series, const Arrival& arrival);

  /// Moves a device's progress on and closes what it has passed. `outputs` null: nothing comes out.
  void advance(std::int32_t device_key, Device& device, TimeUs progress, Outputs* outputs);

  /// Closes what has been open for too long.
  void expire(TimeUs log_time, Outputs* outputs);

  /// Closes, without results, every window that was opened by a record before `offset`.
  void close_opened_before(std::int64_t offset);

  /// Log time at which expire() would close something; Device::kNever if nothing is open.
  [[nodiscard]] TimeUs next_expiry() const;
  /// Offset of the record that opened the oldest open window; `none` if nothing is open.
  [[nodiscard]] std::int64_t oldest_offset(std::int64_t none) const;

  [[nodiscard]] std::size_t open_windows() const { return open_count_; }
  [[nodiscard]] std::size_t size() const { return devices_.size(); }

 private:
  static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

  // A window in the list of all open ones, which is in the order of opening: offsets and log times only grow along it.
  struct Slot {
    Window window;
    TimeUs start = 0;
    TimeUs opened = 0;  // log time
    std::int64_t offset = 0;
    std::int32_t device_key = 0;
    std::uint32_t series = 0;  // index within the device
    std::uint32_t previous = kNone;
    std::uint32_t next = kNone;
  };

  [[nodiscard]] std::uint32_t open_slot(std::int32_t device_key, std::uint32_t series, const Arrival& arrival,
                                        TimeUs start);
  void close(std::int32_t device_key, Device& device, std::uint32_t slot, Outputs* outputs);
  void close_oldest(Outputs* outputs);
  void forget_silent(TimeUs log_time);

  WindowSettings settings_;
  std::unordered_map<std::int32_t, Device> devices_;  // by the registry's key; never iterated where order would show
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
  std::vector<std::uint32_t> closing_;  // of advance(), for its memory
  std::uint32_t first_ = kNone;
  std::uint32_t last_ = kNone;
  std::size_t open_count_ = 0;
  TimeUs swept_ = 0;
};

}  // namespace millrace::stream
