#include "load/http_answer.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

namespace millrace::fleet {
namespace {

constexpr std::size_t kHeadMost = 16 * 1024;
constexpr std::size_t kBodyMost = 1 << 20;

bool same_word(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return (x | 0x20) == (y | 0x20); });
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

template <typename Number>
bool number(std::string_view text, Number& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size();
}

}  // namespace

HttpParse take_answer(std::string_view& input, HttpAnswer& answer) {
  const std::size_t end = input.find("\r\n\r\n");
  if (end == std::string_view::npos) return input.size() > kHeadMost ? HttpParse::kBroken : HttpParse::kIncomplete;
  std::string_view head = input.substr(0, end);
  answer = {};
  if (!head.starts_with("HTTP/1.") || head.size() < 12 || !number(head.substr(9, 3), answer.status)) {
    return HttpParse::kBroken;
  }
  std::optional<std::size_t> length;
  while (!head.empty()) {
    const std::size_t line_end = head.find("\r\n");
    const std::string_view line = head.substr(0, line_end);
    head.remove_prefix(line_end == std::string_view::npos ? head.size() : line_end + 2);
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = trimmed(line.substr(colon + 1));
    if (same_word(name, "content-length")) {
      std::size_t size = 0;
      if (!number(value, size) || size > kBodyMost) return HttpParse::kBroken;
      length = size;
    } else if (same_word(name, "retry-after")) {
      if (!number(value, answer.retry_after_s)) answer.retry_after_s = 1;  // a date: soon enough
    } else if (same_word(name, "connection")) {
      answer.close = same_word(value, "close");
    }
  }
  if (!length) return HttpParse::kBroken;
  if (input.size() - end - 4 < *length) return HttpParse::kIncomplete;
  answer.body = input.substr(end + 4, *length);
  input.remove_prefix(end + 4 + *length);
  return HttpParse::kComplete;
}

Receipt receipt_in(std::string_view body) {
  constexpr std::string_view kName = "\"receipt\"";
  std::size_t at = body.find(kName);
  if (at == std::string_view::npos) return {};
  at = body.find('"', at + kName.size());
  if (at == std::string_view::npos) return {};
  const std::size_t end = body.find('"', at + 1);
  if (end == std::string_view::npos) return {};
  return parse_receipt(body.substr(at + 1, end - at - 1)).value_or(Receipt{});
}

}  // namespace millrace::fleet
