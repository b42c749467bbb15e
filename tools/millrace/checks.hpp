#pragma once

#include <charconv>
#include <cstdint>
#include <map>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

namespace millrace::cli {

// CLI11's own checks say more than people want to read: the numbers behind names, the greatest double.

[[nodiscard]] inline std::string none_of(const std::string& text, const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
  return '\'' + text + "' is none of " + list;
}

/// The text is one of `names`.
[[nodiscard]] inline CLI::Validator one_of(std::vector<std::string> names) {
  const auto check = [names = std::move(names)](std::string& text) {
    for (const std::string& name : names) {
      if (text == name) return std::string();
    }
    return none_of(text, names);
  };
  return CLI::Validator(check, "");
}

/// The text is a name of `values`, and becomes its value.
template <class Value>
[[nodiscard]] CLI::Validator value_of(std::map<std::string, Value> values) {
  const auto transform = [values = std::move(values)](std::string& text) {
    const auto found = values.find(text);
    if (found != values.end()) {
      text = std::to_string(static_cast<std::int64_t>(found->second));
      return std::string();
    }
    std::vector<std::string> names;
    for (const auto& [name, value] : values) names.push_back(name);
    return none_of(text, names);
  };
  return CLI::Validator(transform, "");
}

/// The text is a whole number, `least` or more.
[[nodiscard]] inline CLI::Validator at_least(std::int64_t least) {
  const auto check = [least](std::string& text) {
    std::int64_t number = 0;
    const char* const end = text.data() + text.size();
    const auto read = std::from_chars(text.data(), end, number);
    if (read.ec == std::errc() && read.ptr == end && number >= least) return std::string();
    return '\'' + text + "' is no whole number from " + std::to_string(least) + " on";
  };
  return CLI::Validator(check, "");
}

}  // namespace millrace::cli
