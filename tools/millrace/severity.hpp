#pragma once

#include <map>
#include <string>

#include <millrace/rules/v1/rule.pb.h>

namespace millrace::cli {

/// As --severity takes them.
[[nodiscard]] inline const std::map<std::string, rules::v1::Severity>& severities() {
  static const std::map<std::string, rules::v1::Severity> kNames{{"info", rules::v1::SEVERITY_INFO},
                                                                 {"warning", rules::v1::SEVERITY_WARNING},
                                                                 {"critical", rules::v1::SEVERITY_CRITICAL}};
  return kNames;
}

[[nodiscard]] inline std::string severity_text(rules::v1::Severity severity) {
  for (const auto& [name, known] : severities()) {
    if (known == severity) return name;
  }
  return "-";
}

}  // namespace millrace::cli
