#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/base/time.hpp>

namespace millrace::telemetry::v1 {
class Value;
}

namespace millrace::cli {

/// The shortest decimal text that reads back as the same double: `5`, `0.1`, `1e+300`; plain digits between 1e-5 and
/// 1e15, an exponent outside.
[[nodiscard]] std::string number_text(double value);

/// For tables: at most six decimals, or six significant digits below 1; never longer than number_text().
[[nodiscard]] std::string rounded_text(double value);

/// A value as people read it: strings bare, JSON as it is.
[[nodiscard]] std::string value_text(const telemetry::v1::Value& value);

/// A value as JSON: int64 exact, a double that is not finite as null.
[[nodiscard]] std::string value_json(const telemetry::v1::Value& value);

/// RFC 8259 string with quotes; bytes that are no UTF-8 become U+FFFD.
[[nodiscard]] std::string json_string(std::string_view text);

/// RFC 4180 field: quoted where it holds a comma, a quote or a line end.
[[nodiscard]] std::string csv_field(std::string_view text);

/// Control characters replaced, so that data cannot steer a terminal.
[[nodiscard]] std::string printable(std::string_view text);

/// For tables: `text` if it has at most `most` characters, else as many and an ellipsis.
[[nodiscard]] std::string shortened(std::string_view text, std::size_t most);

/// A double as JSON: null where it is not finite.
[[nodiscard]] std::string number_json(double value);

/// `text` with blanks up to `width`, one at least.
[[nodiscard]] std::string padded(std::string text, std::size_t width);

/// Rows under a heading, columns aligned.
class Table {
 public:
  explicit Table(std::vector<std::string> heading) : rows_{std::move(heading)} {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  [[nodiscard]] bool empty() const { return rows_.size() == 1; }
  void print(std::ostream& out) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

/// A point in time from the command line: `now`, RFC 3339 (without zone: UTC), a date, or a duration ago (`15m`, `1h`,
/// `2d`, with or without a minus). Throws CommandError naming `option`.
[[nodiscard]] TimeUs parse_time_argument(std::string_view option, std::string_view text, TimeUs now);

/// A point in time to come, or how long something holds from now on (`1h`, `90d`). Throws CommandError naming `option`,
/// also for what is over.
[[nodiscard]] TimeUs parse_expiry_argument(std::string_view option, std::string_view text, TimeUs now);

/// `500ms`, `15m`, `1h30m`, units us, ms, s, m, h, d, w; more than zero. Throws CommandError naming `option`.
[[nodiscard]] std::int64_t parse_duration_us(std::string_view option, std::string_view text);

/// The same back: `1h30m`, `500ms`; `0s` for 0.
[[nodiscard]] std::string duration_text(std::int64_t us);

}  // namespace millrace::cli
