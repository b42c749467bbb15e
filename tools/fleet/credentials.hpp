#pragma once

#include <string_view>
#include <vector>

#include <millrace/base/result.hpp>

#include "load/device.hpp"

namespace millrace::fleet {

/// `device,token` lines with or without that header; kInvalid names the line at fault.
[[nodiscard]] Result<std::vector<Device>> parse_credentials(std::string_view csv);

/// Gives the devices their protocols: in turn, so that each of the mix gets its share.
void assign_protocols(std::vector<Device>& devices, const std::vector<Protocol>& mix);

}  // namespace millrace::fleet
