#pragma once

#include <cstddef>
#include <string_view>

#include <millrace/telemetry/payload.hpp>

namespace millrace::telemetry {

/// The error as one of an element of an array of messages.
[[nodiscard]] PayloadError in_element(std::size_t index, PayloadError error);

/// Says where and why `payload` is no JSON. simdjson, which found the fault, does not tell the byte: this reads the
/// payload a second time with a slower parser. `fallback` is the message if that one finds nothing wrong.
[[nodiscard]] PayloadError explain_json_fault(std::string_view payload, std::size_t max_depth,
                                              std::string_view fallback);

}  // namespace millrace::telemetry
