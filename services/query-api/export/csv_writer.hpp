#pragma once

#include <string>
#include <string_view>

#include <millrace/base/time.hpp>
#include <millrace/telemetry/batch.hpp>

namespace millrace::query_api {

inline constexpr std::string_view kCsvHeading = "device,metric,time,type,value,untimed\r\n";

/// Appends one line of RFC 4180. Numbers are the shortest text that reads back the same; texts stand in quotes always,
/// so that a reader tells the text `5` from the number.
void append_csv(std::string& out, std::string_view device, std::string_view metric, TimeUs time,
                const telemetry::Value& value, bool untimed);  // NOLINT: a column, not a mode

}  // namespace millrace::query_api
