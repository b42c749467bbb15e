#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include <millrace/base/time.hpp>
#include <millrace/telemetry/receipt.hpp>

#include "engine/alert.hpp"
#include "engine/window.hpp"

namespace millrace::stream {

/// A window that is closed. The views live during the call.
struct ClosedWindow {
  std::string_view tenant;
  std::string_view device;
  std::string_view metric;
  std::int32_t device_key = 0;
  TimeUs start = 0;
  TimeUs size = 0;
  Figures figures;
};

/// Readings of one record that came for windows already closed. The views live during the call.
struct LateReadings {
  std::string_view tenant;
  std::string_view device;
  telemetry::Receipt source;             ///< of the record
  std::span<const std::int32_t> points;  ///< indexes within the record
  std::span<const TimeUs> windows;       ///< start of the window that each of them missed
};

/// Where results go. Called on the task's thread, in the order of the log.
class Outputs {
 public:
  virtual ~Outputs() = default;
  virtual void window(const ClosedWindow& closed) = 0;
  virtual void alert(const Alert& event) = 0;
  virtual void late(const LateReadings& late) = 0;
};

}  // namespace millrace::stream
