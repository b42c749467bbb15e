#pragma once

#include <millrace/base/result.hpp>
#include <millrace/registry_view/device_type.hpp>

#include "millrace/registry/v1/entry.pb.h"

namespace millrace::registry_view {

/// kInvalid for a format that is not known. A descriptor that cannot be used is no error: the type says so itself.
[[nodiscard]] Result<DeviceTypePtr> read_type(const registry::v1::DeviceTypeEntry& entry);

}  // namespace millrace::registry_view
