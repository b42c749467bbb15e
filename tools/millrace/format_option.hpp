#pragma once

#include <map>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "checks.hpp"
#include "command_line.hpp"

namespace millrace::cli {

/// `--format` with the given names, and `--json` for short.
inline void add_format_option(CLI::App& command, Format& format, const std::vector<std::string>& names) {
  const std::map<std::string, Format> all{
      {"table", Format::kTable}, {"csv", Format::kCsv}, {"json", Format::kJson}, {"plot", Format::kPlot}};
  std::map<std::string, Format> allowed;
  std::string list;
  for (const std::string& name : names) {
    allowed.emplace(name, all.at(name));
    list += (list.empty() ? "" : ", ") + name;
  }
  command.add_option("--format", format, "output: " + list)->transform(value_of(allowed))->option_text("FORMAT");
  command.add_flag_callback("--json", [&format] { format = Format::kJson; }, "the same as --format json");
}

}  // namespace millrace::cli
