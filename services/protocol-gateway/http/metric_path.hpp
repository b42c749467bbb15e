#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <millrace/base/result.hpp>

namespace millrace::gateway {

/// `/v1/telemetry` and `/v1/devices/{device}/telemetry`, each perhaps with `/{metric}` behind it.
struct TelemetryPath {
  std::string_view device;                 ///< as written; empty: that of the credentials
  std::optional<std::string_view> metric;  ///< percent-encoded, maybe empty
};
/// None for any other path. The views point into `path`.
[[nodiscard]] std::optional<TelemetryPath> parse_telemetry_path(std::string_view path);

/// The metric of `/v1/telemetry/{metric}`, its levels apart by `/`, from what stands behind `/v1/telemetry/` as it was
/// sent: percent-encoding (RFC 3986 section 2.1) is undone. kInvalid: empty, or `%` without two hexadecimal digits.
[[nodiscard]] Result<std::string> metric_of_path(std::string_view encoded);

}  // namespace millrace::gateway
