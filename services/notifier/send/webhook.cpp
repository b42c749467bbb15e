#include "send/webhook.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <millrace/base/digest.hpp>

namespace millrace::notifier {
namespace {

constexpr std::size_t kMaxUrlBytes = 2'048;
constexpr std::size_t kMaxHostBytes = 253;  // RFC 1035 section 2.3.4
constexpr std::uint16_t kHttpPort = 80;
constexpr std::uint16_t kHttpsPort = 443;

Error bad_url(std::string_view what) { return {ErrorKind::kInvalid, "webhook URL: " + std::string(what)}; }

bool is_visible_ascii(char c) { return c > ' ' && c < '\x7f'; }

bool is_host_char(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '.' || c == '_';
}
bool is_v6_char(char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0 || c == ':' || c == '.'; }

Status parse_port(std::string_view text, Target& target) {
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), target.port);
  if (text.empty() || code != std::errc{} || end != text.data() + text.size() || target.port == 0) {
    return bad_url("the port is no number from 1 to 65535");
  }
  return {};
}

// `host`, `host:port`, `[v6]`, `[v6]:port`.
Status parse_authority(std::string_view text, Target& target) {
  if (text.find('@') != std::string_view::npos) return bad_url("user names are not supported");
  std::string_view rest;
  if (!text.empty() && text.front() == '[') {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) return bad_url("the bracket is not closed");
    target.host = text.substr(1, close - 1);
    rest = text.substr(close + 1);
    if (!std::all_of(target.host.begin(), target.host.end(), is_v6_char)) return bad_url("no IPv6 address in brackets");
  } else {
    const std::size_t colon = std::min(text.find(':'), text.size());
    target.host = text.substr(0, colon);
    rest = text.substr(colon);
    if (!std::all_of(target.host.begin(), target.host.end(), is_host_char)) return bad_url("the host is no host name");
  }
  if (target.host.empty() || target.host.size() > kMaxHostBytes) return bad_url("the host is empty or too long");
  if (rest.empty()) return {};
  if (rest.front() != ':') return bad_url("the host is no host name");
  return parse_port(rest.substr(1), target);
}

std::string bracketed(const std::string& host) { return host.find(':') != std::string::npos ? "[" + host + "]" : host; }

}  // namespace

std::string Target::authority() const {
  const bool usual = port == (tls ? kHttpsPort : kHttpPort);
  return usual ? bracketed(host) : bracketed(host) + ":" + std::to_string(port);
}

std::string Target::origin() const {
  return (tls ? "https://" : "http://") + bracketed(host) + ":" + std::to_string(port);
}

Result<Target> parse_url(std::string_view url) {
  if (url.size() > kMaxUrlBytes) return bad_url("longer than 2,048 bytes");
  if (!std::all_of(url.begin(), url.end(), is_visible_ascii)) return bad_url("only visible ASCII is allowed");
  Target target;
  const std::size_t scheme_end = url.find("://");
  if (scheme_end == std::string_view::npos) return bad_url("no http:// or https:// in front");
  std::string scheme(url.substr(0, scheme_end));
  std::transform(scheme.begin(), scheme.end(), scheme.begin(), [](unsigned char c) { return std::tolower(c); });
  if (scheme != "http" && scheme != "https") return bad_url("no http:// or https:// in front");
  target.tls = scheme == "https";
  target.port = target.tls ? kHttpsPort : kHttpPort;
  url.remove_prefix(scheme_end + 3);
  if (url.find('#') != std::string_view::npos) return bad_url("a fragment means nothing here");
  const std::size_t path = std::min(url.find_first_of("/?"), url.size());
  if (const Status parsed = parse_authority(url.substr(0, path), target); !parsed.ok()) return parsed.error();
  target.path = url.substr(path);
  if (target.path.empty() || target.path.front() == '?') target.path.insert(0, "/");
  return target;
}

std::string sign(std::string_view secret, std::int64_t unix_seconds, std::string_view body) {
  const std::string time = std::to_string(unix_seconds);
  const std::string text = time + "." + std::string(body);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(), &size);
  return "t=" + time + ",v1=" + to_hex({reinterpret_cast<const char*>(digest.data()), size});
}

Outgoing make_request(const Event& event, const Webhook& webhook, std::int64_t unix_seconds, std::string_view version) {
  Outgoing request;
  request.target = webhook.target;
  request.body = event.body;
  // The version's blank and brackets would be a comment (RFC 9110 section 10.1.5).
  request.headers = {{"Content-Type", "application/json"},
                     {"User-Agent", "millrace-notifier/" + std::string(version.substr(0, version.find(' ')))},
                     {"Idempotency-Key", event.idempotency_key},
                     {"Millrace-Signature", sign(webhook.secret, unix_seconds, event.body)}};
  if (!event.traceparent.empty()) request.headers.emplace_back("traceparent", event.traceparent);
  return request;
}

}  // namespace millrace::notifier
