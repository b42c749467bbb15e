#pragma once

#include <string>
#include <vector>

#include "presence_roll.hpp"

namespace millrace::cli {

/// One client of a device as a JSON object, and as a row under presence_heading().
[[nodiscard]] std::string presence_json(const PresenceRoll::Entry& entry);
[[nodiscard]] std::vector<std::string> presence_row(const PresenceRoll::Entry& entry);
[[nodiscard]] std::vector<std::string> presence_heading();

}  // namespace millrace::cli
