#pragma once

#include <string>
#include <string_view>

#include <millrace/base/result.hpp>

namespace millrace::gateway {

/// The metric of `/v1/telemetry/{metric}`, its levels apart by `/`, from what stands behind `/v1/telemetry/` as it was
/// sent: percent-encoding (RFC 3986 section 2.1) is undone. kInvalid: empty, or `%` without two hexadecimal digits.
[[nodiscard]] Result<std::string> metric_of_path(std::string_view encoded);

}  // namespace millrace::gateway
