#pragma once

#include <string_view>

#include <millrace/base/result.hpp>

#include "derived/derived_batch.hpp"

namespace millrace::writer {

/// The row of a record of the topic `windows`, without its source. kInvalid: a sentence that says what is wrong with
/// it; everything that PostgreSQL would refuse is refused here. Pure.
[[nodiscard]] Result<WindowRow> window_of(std::string_view value);

/// The same for the topic `alerts`.
[[nodiscard]] Result<AlertRow> alert_of(std::string_view value);

}  // namespace millrace::writer
