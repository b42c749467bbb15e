#include "credentials.hpp"

#include <millrace/base/ids.hpp>

namespace millrace::fleet {

Result<std::vector<Device>> parse_credentials(std::string_view csv) {
  std::vector<Device> devices;
  for (std::size_t number = 1; !csv.empty(); ++number) {
    const std::size_t end = csv.find('\n');
    std::string_view line = csv.substr(0, end);
    csv.remove_prefix(end == std::string_view::npos ? csv.size() : end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty() || line == "device,token") continue;
    const std::size_t comma = line.find(',');
    if (comma == std::string_view::npos || !is_valid_id(line.substr(0, comma)) || comma + 1 == line.size()) {
      return Error{ErrorKind::kInvalid, "line " + std::to_string(number) + " is not `device,token`"};
    }
    devices.push_back({std::string(line.substr(0, comma)), std::string(line.substr(comma + 1)), Protocol::kMqtt311});
  }
  if (devices.empty()) return Error{ErrorKind::kInvalid, "there is no device"};
  return devices;
}

void assign_protocols(std::vector<Device>& devices, const std::vector<Protocol>& mix) {
  for (std::size_t i = 0; i < devices.size(); ++i) devices[i].protocol = mix[i % mix.size()];
}

}  // namespace millrace::fleet
