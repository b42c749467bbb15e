// What a webhook's URL may be.
#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdint>

#include "store/webhooks.hpp"

namespace millrace::registry {
namespace {

constexpr std::size_t kMaxHostBytes = 253;  // RFC 1035 section 2.3.4

Error bad(std::string_view what) { return {ErrorKind::kInvalid, "url: " + std::string(what)}; }

bool is_visible_ascii(char c) { return c > ' ' && c < '\x7f'; }
bool is_host_char(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '.' || c == '_';
}
bool is_v6_char(char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0 || c == ':' || c == '.'; }

bool is_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), port);
  return !text.empty() && code == std::errc{} && end == text.data() + text.size() && port != 0;
}

// Splits `host`, `host:port`, `[v6]`, `[v6]:port` before the colon of the port.
Status check_authority(std::string_view text) {
  if (text.find('@') != std::string_view::npos) return bad("user names are not supported");
  const bool v6 = text.starts_with('[');
  const std::size_t close = v6 ? text.find(']') : 0;
  if (close == std::string_view::npos) return bad("the bracket is not closed");
  const std::size_t end = v6 ? close + 1 : std::min(text.find(':'), text.size());
  const std::string_view host = v6 ? text.substr(1, close - 1) : text.substr(0, end);
  const std::string_view rest = text.substr(end);
  if (host.empty() || host.size() > kMaxHostBytes) return bad("the host is empty or too long");
  if (!std::all_of(host.begin(), host.end(), v6 ? is_v6_char : is_host_char)) return bad("the host is no host name");
  if (rest.empty()) return {};
  if (rest.front() != ':') return bad("the host is no host name");
  return is_port(rest.substr(1)) ? Status{} : bad("the port is no number from 1 to 65535");
}

// Schemes are the same in any case (RFC 3986 section 3.1).
bool starts_with_scheme(std::string_view url, std::string_view scheme) {
  return url.size() >= scheme.size() && std::equal(scheme.begin(), scheme.end(), url.begin(), [](char a, char b) {
           return a == std::tolower(static_cast<unsigned char>(b));
         });
}

}  // namespace

Status check_webhook_url(std::string_view url) {
  if (url.size() > kMaxUrlBytes) return bad("longer than " + std::to_string(kMaxUrlBytes) + " bytes");
  if (!std::all_of(url.begin(), url.end(), is_visible_ascii)) return bad("only visible ASCII is allowed");
  std::size_t begin = 0;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (starts_with_scheme(url, scheme)) begin = scheme.size();
  }
  if (begin == 0) return bad("no http:// or https:// in front");
  if (url.find('#') != std::string_view::npos) return bad("a fragment means nothing here");
  const std::string_view rest = url.substr(begin);
  return check_authority(rest.substr(0, std::min(rest.find_first_of("/?"), rest.size())));
}

}  // namespace millrace::registry
