#pragma once

#include <cstdint>
#include <string_view>

#include <millrace/base/result.hpp>

#include "delivery/event.hpp"

namespace millrace::notifier {

/// Where a record stands and when it was written.
struct RecordFacts {
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  TimeUs time_us = 0;
};

/// The event in a record of `alerts` (key: the alert key, which begins with the tenant; value: alerts.v1.Alert).
/// kInvalid says what makes no sense. Pure.
[[nodiscard]] Result<Event> decode_event(const RecordFacts& facts, std::string_view key, std::string_view value);

}  // namespace millrace::notifier
