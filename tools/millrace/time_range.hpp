#pragma once

#include <string>

#include <CLI/CLI.hpp>

#include <millrace/base/time.hpp>

#include "command_error.hpp"
#include "text.hpp"

namespace millrace::cli {

/// `--from` and `--to` of a command.
struct TimeRange {
  std::string from;
  std::string to;

  void add_options(CLI::App& command, const std::string& usual) {
    command.add_option("--from", from, "RFC 3339, a date, or how long ago: 15m, 1h, 2d (" + usual + " before --to)");
    command.add_option("--to", to, "the same forms (now)");
  }

  /// Sets from_us and to_us; throws CommandError for what is no time or the wrong way round.
  template <class Request>
  void set(Request& request, std::int64_t usual_us) const {
    const TimeUs now = now_us();
    const TimeUs end = to.empty() ? now : parse_time_argument("--to", to, now);
    const TimeUs begin = from.empty() ? end - usual_us : parse_time_argument("--from", from, now);
    if (begin >= end)
      throw usage_error("--from " + format_rfc3339(begin) + " is not before --to " + format_rfc3339(end));
    request.set_from_us(begin);
    request.set_to_us(end);
  }
};

}  // namespace millrace::cli
