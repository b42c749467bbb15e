#pragma once

#include <string>

#include <millrace/base/time.hpp>

#include "millrace/alerts/v1/alert.pb.h"

namespace millrace::cli {

[[nodiscard]] bool is_cleared(const alerts::v1::Alert& alert);

/// `raised` or `cleared`.
[[nodiscard]] std::string state_text(alerts::v1::State state);

/// When the event was, by the readings.
[[nodiscard]] TimeUs time_of(const alerts::v1::Alert& event);

/// When it was cleared, and by what if that was no reading; `-` while it is open.
[[nodiscard]] std::string cleared_text(const alerts::v1::Alert& alert);

/// One raise or clear as a line of `--follow`, without its end.
[[nodiscard]] std::string event_line(const alerts::v1::Alert& event);

}  // namespace millrace::cli
