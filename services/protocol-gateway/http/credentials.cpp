#include "http/credentials.hpp"

#include <millrace/base/digest.hpp>
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

std::size_t colon_of(std::string_view pair, const KnowsDevice& known) {
  const std::size_t last = pair.rfind(':');
  for (std::size_t at = last; at != std::string_view::npos && at > 0; at = pair.rfind(':', at - 1)) {
    const auto name = parse_device_name(pair.substr(0, at));
    if (name.ok() && known(name->tenant, name->device)) return at;
  }
  return last;
}

}  // namespace

Result<DeviceName> parse_device_name(std::string_view user) {
  const std::size_t at = user.rfind('@');
  if (at != std::string_view::npos && is_valid_id(user.substr(0, at)) && is_valid_id(user.substr(at + 1))) {
    return DeviceName{user.substr(0, at), user.substr(at + 1)};
  }
  return Error{ErrorKind::kInvalid, "the user name must be device@tenant"};
}

Result<HttpCredentials> parse_authorization(std::string_view header, const KnowsDevice& known) {
  const Error bad{ErrorKind::kUnauthenticated,
                  "authorise with Basic device@tenant:token (or a password), with Bearer token or with a certificate"};
  if (starts_with_scheme(header, "bearer")) {
    const std::string_view token = trimmed(header.substr(7));
    if (token.empty()) return bad;
    return HttpCredentials{"", std::string(token)};
  }
  if (!starts_with_scheme(header, "basic")) return bad;
  const auto pair = from_base64(trimmed(header.substr(6)));
  if (!pair.ok()) return bad;
  const std::size_t colon = colon_of(*pair, known);
  if (colon == std::string::npos || colon + 1 == pair->size()) return bad;
  return HttpCredentials{pair->substr(0, colon), pair->substr(colon + 1)};
}

}  // namespace millrace::gateway
