#include "http/credentials.hpp"

#include <millrace/base/ids.hpp>

namespace millrace::gateway {
namespace {

bool starts_with_scheme(std::string_view header, std::string_view scheme) {
  if (header.size() <= scheme.size() || header[scheme.size()] != ' ') return false;
  for (std::size_t i = 0; i < scheme.size(); ++i) {
    const char c = header[i];
    if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c) != scheme[i]) return false;
  }
  return true;
}

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

}  // namespace

Result<DeviceName> parse_device_name(std::string_view user) {
  const std::size_t at = user.rfind('@');
  if (at != std::string_view::npos && is_valid_id(user.substr(0, at)) && is_valid_id(user.substr(at + 1))) {
    return DeviceName{user.substr(0, at), user.substr(at + 1)};
  }
  return Error{ErrorKind::kInvalid, "the user name must be device@tenant"};
}

Result<HttpCredentials> parse_authorization(std::string_view header) {
  const Error bad{ErrorKind::kUnauthenticated, "authorise with Basic device@tenant:token or with Bearer token"};
  if (starts_with_scheme(header, "bearer")) {
    const std::string_view token = trimmed(header.substr(7));
    if (token.empty()) return bad;
    return HttpCredentials{"", sha256(token)};
  }
  if (!starts_with_scheme(header, "basic")) return bad;
  const auto pair = from_base64(trimmed(header.substr(6)));
  if (!pair.ok()) return bad;
  // Ids may hold a colon, so the token is what follows the last one: tokens hold none.
  const std::size_t colon = pair->rfind(':');
  if (colon == std::string::npos) return bad;
  return HttpCredentials{pair->substr(0, colon), sha256(std::string_view(*pair).substr(colon + 1))};
}

}  // namespace millrace::gateway
