#pragma once

#include <string>
#include <string_view>

#include <millrace/base/result.hpp>

#include "engine/alert.hpp"
#include "engine/outputs.hpp"

namespace millrace::stream {

/// The values of the topics `alerts` and `windows`.
[[nodiscard]] std::string encode(const Alert& event);
/// kCorrupt if the bytes are no alert.
[[nodiscard]] Result<Alert> decode_alert(std::string_view bytes);

/// A first and final result: revision 1.
[[nodiscard]] std::string encode(const ClosedWindow& closed);

}  // namespace millrace::stream
