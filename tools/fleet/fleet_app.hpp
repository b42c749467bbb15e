#pragma once

#include "fleet_options.hpp"

namespace millrace::fleet {

/// Runs the fleet. Exit code: 0; 1 something acknowledged is lost, doubled or wrong; 2 usage; 3 could not run or
/// verify.
[[nodiscard]] int run_fleet(const FleetOptions& options);

}  // namespace millrace::fleet
