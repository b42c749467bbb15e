#pragma once

#include <algorithm>
#include <string_view>

namespace millrace::rpc {

/// Whether a value may be given to gRPC as metadata: printable ASCII. gRPC ends the process that gives it any other
/// byte.
[[nodiscard]] constexpr bool fits_metadata(std::string_view value) {
  return std::all_of(value.begin(), value.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

}  // namespace millrace::rpc
