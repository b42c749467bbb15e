#pragma once

#include <millrace/base/result.hpp>

#include "command_error.hpp"
#include "command_line.hpp"

namespace millrace::cli {

/// What to print where Kafka said no: one that answers need not be started.
[[nodiscard]] CommandError kafka_fault(const Settings& settings, const Error& error);

/// `millrace admin log`.
void add_log_command(CLI::App& group, Session& session);

/// `millrace admin presence`.
void add_presence_command(CLI::App& group, Session& session);

}  // namespace millrace::cli
