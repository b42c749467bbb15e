#include "text_decoder.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <string>

namespace millrace::telemetry {
namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::size_t digits_of(std::string_view text) {
  return static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), is_digit) - text.begin());
}

enum class Form { kInteger, kReal, kOther };

// [+-] digits, and for a real number [. digits] [e [+-] digits]; one of the two groups of digits may be missing.
Form form_of(std::string_view text) {
  if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
  std::size_t digits = digits_of(text);
  text.remove_prefix(digits);
  if (text.empty()) return digits > 0 ? Form::kInteger : Form::kOther;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    const std::size_t fraction = digits_of(text);
    text.remove_prefix(fraction);
    digits += fraction;
  }
  if (digits == 0) return Form::kOther;
  if (text.empty()) return Form::kReal;
  if (text.front() != 'e' && text.front() != 'E') return Form::kOther;
  text.remove_prefix(1);
  if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
  return !text.empty() && digits_of(text) == text.size() ? Form::kReal : Form::kOther;
}

bool is_not_finite(std::string_view text) {
  std::string lower(text.substr(0, 16));
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  std::string_view word = lower;
  if (word.starts_with('+') || word.starts_with('-')) word.remove_prefix(1);
  return word == "nan" || word == "inf" || word == "infinity";
}

bool add_integer(std::string_view digits, PointSink& sink) {
  std::int64_t value = 0;
  if (std::from_chars(digits.data(), digits.data() + digits.size(), value).ec == std::errc{})
    return sink.add(sink.prefix(), value);
  return sink.fail(PayloadFault::kIntegerRange, "the value is beyond the range of int64");
}

bool add_real(std::string_view digits, PointSink& sink) {
  double value = 0;
  if (std::from_chars(digits.data(), digits.data() + digits.size(), value).ec == std::errc{})
    return sink.add(sink.prefix(), value);
  // Too large, or too small to be told from 0: from_chars does not say which.
  value = std::strtod(std::string(digits).c_str(), nullptr);
  if (std::isfinite(value)) return sink.add(sink.prefix(), value);
  return sink.fail(PayloadFault::kNotFinite, "the value is beyond the range of double");
}

}  // namespace

bool decode_text(std::string_view payload, PointSink& sink) {
  if (sink.options().metric.empty())
    return sink.fail(PayloadFault::kShape, "a single value needs a topic or path that names its metric");
  std::string_view value = trimmed(payload);
  if (value.empty()) return sink.fail(PayloadFault::kEmpty, "the payload is empty");
  const Form form = form_of(value);
  if (form != Form::kOther) {
    if (value.starts_with('+')) value.remove_prefix(1);  // from_chars takes none
    return form == Form::kInteger ? add_integer(value, sink) : add_real(value, sink);
  }
  if (value == "true" || value == "false") return sink.add_bool(sink.prefix(), value == "true");
  if (is_not_finite(value)) return sink.fail(PayloadFault::kNotFinite, "NaN and infinities are not taken");
  if (!is_utf8(value)) return sink.fail(PayloadFault::kBadText, "the payload is not UTF-8");
  return sink.add_text(sink.prefix(), value);
}

}  // namespace millrace::telemetry
