#pragma once

#include "command_line.hpp"

namespace millrace::cli {

/// `millrace type`: what the devices of a type send.
void add_type_commands(CLI::App& app, Session& session);

/// `millrace device type`: which type a device has.
void add_type_of_device_command(CLI::App& group, Session& session);

}  // namespace millrace::cli
