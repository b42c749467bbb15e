#include "engine/alert.hpp"

#include <millrace/base/digest.hpp>

namespace millrace::stream {

std::string alert_key_of(std::string_view tenant, std::string_view rule, std::string_view device,
                         std::string_view metric) {
  std::string key;
  key.reserve(tenant.size() + rule.size() + device.size() + metric.size() + 3);
  return key.append(tenant).append("/").append(rule).append("/").append(device).append("/").append(metric);
}

std::string alert_id_of(std::string_view alert_key, TimeUs raised_at, std::int64_t event_number) {
  constexpr std::size_t kBytes = 16;
  const Sha256 digest =
      sha256(std::string(alert_key) + '\n' + std::to_string(raised_at) + '\n' + std::to_string(event_number));
  return to_hex(bytes_of(digest).substr(0, kBytes));
}

}  // namespace millrace::stream
