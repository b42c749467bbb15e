#include "wire.hpp"

#include <array>
#include <charconv>
#include <cstdio>
#include <ctime>

namespace millrace::http {

namespace {

std::string_view reason_phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 411:
      return "Length Required";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "";  // RFC 9112 section 4: a client ignores the phrase
  }
}

/// `Date` (RFC 9110 section 6.6.1), made once a second and thread.
const std::string& date_line() {
  thread_local std::time_t made = 0;
  thread_local std::string line;
  const std::time_t now = std::time(nullptr);
  if (now == made) return line;
  static constexpr std::array<const char*, 7> kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr std::array<const char*, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::array<char, 64> text{};
  const int size = std::snprintf(text.data(), text.size(), "Date: %s, %02d %s %d %02d:%02d:%02d GMT\r\n",
                                 kDays.at(static_cast<std::size_t>(utc.tm_wday)), utc.tm_mday,
                                 kMonths.at(static_cast<std::size_t>(utc.tm_mon)), utc.tm_year + 1900, utc.tm_hour,
                                 utc.tm_min, utc.tm_sec);
  line.assign(text.data(), static_cast<std::size_t>(size));
  made = now;
  return line;
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ");
  // A line break in a value would begin a field of somebody else's making.
  for (const char c : value) out.push_back(c == '\r' || c == '\n' ? ' ' : c);
  out.append("\r\n");
}

}  // namespace

std::string_view to_string(Method method) {
  switch (method) {
    case Method::kGet:
      return "GET";
    case Method::kHead:
      return "HEAD";
    case Method::kPost:
      return "POST";
    case Method::kPut:
      return "PUT";
    case Method::kDelete:
      return "DELETE";
    case Method::kOptions:
      return "OPTIONS";
    case Method::kPatch:
      return "PATCH";
    case Method::kOther:
      return "other";
  }
  return "other";
}

std::string json_quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          std::array<char, 8> escape{};
          std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
          out += escape.data();
        } else {
          out.push_back(c);
        }
    }
  }
  out.push_back('"');
  return out;
}

Response problem(int status, std::string_view type, std::string_view title, std::string_view detail,
                 std::string_view extra) {
  Response response;
  response.status = status;
  response.content_type = "application/problem+json";
  std::string& body = response.body;
  body =
      "{\"type\":" + json_quoted(type) + ",\"title\":" + json_quoted(title) + ",\"status\":" + std::to_string(status);
  if (!detail.empty()) body += ",\"detail\":" + json_quoted(detail);
  if (!extra.empty()) body.append(",").append(extra);
  body += "}";
  return response;
}

void serialize_head(const Response& response, Persistence persistence, Framing framing, std::string& out) {
  out.append("HTTP/1.1 ").append(std::to_string(response.status)).append(" ").append(reason_phrase(response.status));
  out.append("\r\n").append(date_line());
  if (!response.content_type.empty()) append_field(out, "Content-Type", response.content_type);
  if (framing == Framing::kChunked) out.append("Transfer-Encoding: chunked\r\n");
  // RFC 9110 section 8.6: not with 1xx and 204.
  if (framing == Framing::kLength && response.status >= 200 && response.status != 204)
    append_field(out, "Content-Length", std::to_string(response.body.size()));
  for (const auto& [name, value] : response.headers) append_field(out, name, value);
  if (persistence == Persistence::kClose) out.append("Connection: close\r\n");
  if (persistence == Persistence::kKeepAlive10) out.append("Connection: keep-alive\r\n");
  out.append("\r\n");
}

void serialize_chunk(std::string_view bytes, std::string& out) {
  std::array<char, 16> size{};
  const auto [end, error] = std::to_chars(size.data(), size.data() + size.size(), bytes.size(), 16);
  out.append(size.data(), end).append("\r\n").append(bytes).append("\r\n");
}

void serialize(const Response& response, Persistence persistence, BodyForm form, std::string& out) {
  serialize_head(response, persistence, Framing::kLength, out);
  if (form == BodyForm::kWhole && response.status != 204) out.append(response.body);
}

}  // namespace millrace::http
