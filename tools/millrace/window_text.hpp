#pragma once

#include <string>

#include <CLI/CLI.hpp>

#include <millrace/base/time.hpp>

#include "text.hpp"

namespace millrace::cli {

/// `--not-before` and `--not-after`.
struct WindowOptions {
  std::string not_before;
  std::string not_after;

  /// 0: no bound. Throw CommandError.
  [[nodiscard]] TimeUs begin() const {
    return not_before.empty() ? 0 : parse_time_argument("--not-before", not_before, now_us());
  }
  [[nodiscard]] TimeUs end() const {
    return not_after.empty() ? 0 : parse_expiry_argument("--not-after", not_after, now_us());
  }
};

inline void add_window_options(CLI::App& command, WindowOptions& options) {
  command.add_option("--not-before", options.not_before, "valid from this time on: RFC 3339, or a date (from ever)");
  command.add_option("--not-after", options.not_after, "valid until this time, or how long: 90d (for ever)");
}

/// For tables; empty: no bound.
[[nodiscard]] inline std::string bound_text(TimeUs time) { return time == 0 ? "" : format_rfc3339(time); }

/// Members of a JSON object, each with a comma before it; none where there is no bound.
[[nodiscard]] inline std::string window_json(TimeUs not_before_us, TimeUs not_after_us) {
  std::string text;
  if (not_before_us != 0) text += ",\"not_before\":" + json_string(format_rfc3339(not_before_us));
  if (not_after_us != 0) text += ",\"not_after\":" + json_string(format_rfc3339(not_after_us));
  return text;
}

}  // namespace millrace::cli
