#pragma once

#include <string_view>

#include "point_sink.hpp"

namespace millrace::telemetry {

/// One value for the metric that the topic or path names: an integer, a decimal number, `true` or `false`; anything
/// else is a text. White space around it does not count.
[[nodiscard]] bool decode_text(std::string_view payload, PointSink& sink);

}  // namespace millrace::telemetry
