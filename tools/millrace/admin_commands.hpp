#pragma once

#include "command_line.hpp"

namespace millrace::cli {

/// `millrace admin log`.
void add_log_command(CLI::App& group, Session& session);

}  // namespace millrace::cli
