#include "http/metric_path.hpp"

#include <charconv>

namespace millrace::gateway {

std::optional<TelemetryPath> parse_telemetry_path(std::string_view path) {
  constexpr std::string_view kRoot = "/v1/";
  constexpr std::string_view kDevices = "devices/";
  constexpr std::string_view kTelemetry = "telemetry";
  if (!path.starts_with(kRoot)) return std::nullopt;
  path.remove_prefix(kRoot.size());
  TelemetryPath parsed;
  if (path.starts_with(kDevices)) {
    path.remove_prefix(kDevices.size());
    const std::size_t slash = path.find('/');
    if (slash == 0 || slash == std::string_view::npos) return std::nullopt;
    parsed.device = path.substr(0, slash);
    path.remove_prefix(slash + 1);
  }
  if (!path.starts_with(kTelemetry)) return std::nullopt;
  path.remove_prefix(kTelemetry.size());
  if (path.empty()) return parsed;
  if (!path.starts_with('/')) return std::nullopt;
  parsed.metric = path.substr(1);
  return parsed;
}

Result<std::string> metric_of_path(std::string_view encoded) {
  std::string metric;
  while (!encoded.empty()) {
    if (encoded.front() != '%') {
      metric += encoded.front();
      encoded.remove_prefix(1);
      continue;
    }
    const std::string_view digits = encoded.substr(1, 2);
    unsigned byte = 0;
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
    if (digits.size() != 2 || read.ec != std::errc{} || read.ptr != digits.data() + 2)
      return Error{ErrorKind::kInvalid, "a '%' in the path is not followed by two hexadecimal digits"};
    metric += static_cast<char>(byte);
    encoded.remove_prefix(3);
  }
  if (metric.empty()) return Error{ErrorKind::kInvalid, "the path names no metric behind /v1/telemetry/"};
  return metric;
}

}  // namespace millrace::gateway
