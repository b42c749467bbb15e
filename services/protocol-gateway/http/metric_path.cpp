#include "http/metric_path.hpp"

#include <charconv>

namespace millrace::gateway {

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
