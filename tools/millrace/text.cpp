#include "text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "command_error.hpp"
#include "millrace/telemetry/v1/telemetry.pb.h"

namespace millrace::cli {
namespace {

std::size_t width_of(std::string_view text) {
  std::size_t width = 0;
  for (const char c : text) {
    if ((static_cast<unsigned char>(c) & 0xC0U) != 0x80U) ++width;
  }
  return width;
}

bool is_plain(double value) {
  const double magnitude = std::abs(value);
  return magnitude == 0 || (magnitude >= 1e-5 && magnitude < 1e15);
}

constexpr std::array<std::pair<std::string_view, std::int64_t>, 7> kUnits{{{"w", 604'800'000'000},
                                                                           {"d", 86'400'000'000},
                                                                           {"h", 3'600'000'000},
                                                                           {"m", 60'000'000},
                                                                           {"s", 1'000'000},
                                                                           {"ms", 1'000},
                                                                           {"us", 1}}};

std::optional<std::int64_t> duration_us(std::string_view text) {
  std::int64_t total = 0;
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    std::int64_t count = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (error != std::errc{} || count < 0) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    const std::string_view unit = text.substr(0, text.find_first_of("0123456789"));
    std::int64_t factor = 0;
    for (const auto& [name, us] : kUnits) {
      if (name == unit) factor = us;
    }
    std::int64_t part = 0;
    if (factor == 0 || __builtin_mul_overflow(count, factor, &part) || __builtin_add_overflow(total, part, &total)) {
      return std::nullopt;
    }
    text.remove_prefix(unit.size());
  }
  return total;
}

}  // namespace

std::string number_text(double value) {
  std::array<char, 64> buffer;
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                    is_plain(value) ? std::chars_format::fixed : std::chars_format::scientific);
  return {buffer.data(), result.ptr};
}

std::string rounded_text(double value) {
  constexpr int kDecimals = 6;
  std::string exact = number_text(value);
  if (value == 0 || !std::isfinite(value)) return exact;
  const bool plain = is_plain(value);
  const int zeros = static_cast<int>(-std::floor(std::log10(std::abs(value)))) - 1;  // behind the point
  std::array<char, 64> buffer;
  const auto result = plain ? std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                            std::chars_format::fixed, kDecimals + std::max(0, zeros))
                            : std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                            std::chars_format::scientific, kDecimals - 1);
  std::string rounded(buffer.data(), result.ptr);
  if (plain) {
    rounded.erase(rounded.find_last_not_of('0') + 1);
    if (rounded.ends_with('.')) rounded.pop_back();
  }
  return rounded.size() < exact.size() ? rounded : exact;
}

std::string number_json(double value) { return std::isfinite(value) ? number_text(value) : "null"; }

std::string value_text(const telemetry::v1::Value& value) {
  using Kind = telemetry::v1::Value::KindCase;
  switch (value.kind_case()) {
    case Kind::kDoubleValue:
      return number_text(value.double_value());
    case Kind::kIntValue:
      return std::to_string(value.int_value());
    case Kind::kBoolValue:
      return value.bool_value() ? "true" : "false";
    case Kind::kStringValue:
      return value.string_value();
    case Kind::kJsonValue:
      return value.json_value();
    case Kind::KIND_NOT_SET:
      break;
  }
  return {};
}

std::string value_json(const telemetry::v1::Value& value) {
  using Kind = telemetry::v1::Value::KindCase;
  if (value.kind_case() == Kind::kStringValue) return json_string(value.string_value());
  if (value.kind_case() == Kind::kDoubleValue && !std::isfinite(value.double_value())) return "null";
  std::string text = value_text(value);
  return text.empty() ? "null" : text;
}

std::string json_string(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string field = "\"";
  for (const char c : text) {
    if (c == '"') field += '"';
    field += c;
  }
  return field + '"';
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7F) {
      out += c;
    } else {
      out += "\xEF\xBF\xBD";
    }
  }
  return out;
}

std::string shortened(std::string_view text, std::size_t most) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool begins = (static_cast<unsigned char>(text[i]) & 0xC0U) != 0x80U;
    if (begins && most-- == 0) return std::string(text.substr(0, i)) + "\xE2\x80\xA6";
  }
  return std::string(text);
}

std::string padded(std::string text, std::size_t width) {
  text.resize(std::max(width, text.size() + 1), ' ');
  return text;
}

void Table::print(std::ostream& out) const {
  std::vector<std::size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      out << row[i];
      if (i + 1 < row.size()) out << std::string(widths[i] - width_of(row[i]) + 2, ' ');
    }
    out << '\n';
  }
}

std::string duration_text(std::int64_t us) {
  std::string text;
  for (const auto& [name, factor] : kUnits) {
    if (us < factor || name == "w") continue;  // nobody counts windows in weeks
    text += std::to_string(us / factor) + std::string(name);
    us %= factor;
  }
  return text.empty() ? "0s" : text;
}

TimeUs parse_time_argument(std::string_view option, std::string_view text, TimeUs now) {
  if (text == "now") return now;
  if (const auto ago = duration_us(text.starts_with('-') ? text.substr(1) : text)) return now - *ago;
  if (const auto exact = parse_rfc3339(text)) return exact.value();
  if (const auto utc = parse_rfc3339(std::string(text) + 'Z')) return utc.value();
  if (const auto minute = parse_rfc3339(std::string(text) + ":00Z")) return minute.value();
  if (const auto day = parse_rfc3339(std::string(text) + "T00:00:00Z")) return day.value();
  throw usage_error(std::string(option) + ": '" + std::string(text) + "' is no point in time",
                    "write 2026-11-22T23:00:00Z, 2026-11-22, now, or how long ago: 15m, 1h, 2d");
}

TimeUs parse_expiry_argument(std::string_view option, std::string_view text, TimeUs now) {
  const auto holds = duration_us(text);
  const TimeUs time = holds ? now + *holds : parse_time_argument(option, text, now);
  if (time > now) return time;
  throw usage_error(std::string(option) + ": '" + std::string(text) + "' is not in the future",
                    "write a time to come, as 2030-01-31, or how long it holds: 1h, 90d");
}

std::int64_t parse_duration_us(std::string_view option, std::string_view text) {
  if (const auto us = duration_us(text); us && *us > 0) return *us;
  throw usage_error(std::string(option) + ": '" + std::string(text) + "' is no duration",
                    "write 500ms, 30s, 5m, 1h, 1d or a sum as 1h30m");
}

}  // namespace millrace::cli
