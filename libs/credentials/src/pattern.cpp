#include <algorithm>

#include <millrace/base/ids.hpp>
#include <millrace/credentials/certificate.hpp>

namespace millrace::credentials {
namespace {

constexpr std::string_view kPlace = "{device}";

}  // namespace

Status check_pattern(std::string_view pattern) {
  if (pattern.size() > kMostPatternBytes) return Error{ErrorKind::kInvalid, "a pattern may have 256 bytes"};
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7F'; };
  if (std::any_of(pattern.begin(), pattern.end(), is_control)) {
    return Error{ErrorKind::kInvalid, "a pattern may have no control characters"};
  }
  const std::size_t at = pattern.find(kPlace);
  if (at == std::string_view::npos || pattern.find(kPlace, at + kPlace.size()) != std::string_view::npos) {
    return Error{ErrorKind::kInvalid, "a pattern must have {device} once, where the device's id stands"};
  }
  return {};
}

std::optional<std::string> device_of(std::string_view pattern, std::string_view name) {
  const std::size_t at = pattern.find(kPlace);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view before = pattern.substr(0, at);
  const std::string_view behind = pattern.substr(at + kPlace.size());
  if (name.size() < before.size() + behind.size() || !name.starts_with(before) || !name.ends_with(behind)) {
    return std::nullopt;
  }
  const std::string_view id = name.substr(before.size(), name.size() - before.size() - behind.size());
  if (!is_valid_id(id)) return std::nullopt;
  return std::string(id);
}

}  // namespace millrace::credentials
