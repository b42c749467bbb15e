#include "readings/file_readings.hpp"

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace millrace::fleet {
namespace {

std::vector<std::string_view> split(std::string_view line) {
  std::vector<std::string_view> fields;
  for (;;) {
    const std::size_t comma = line.find(',');
    std::string_view field = line.substr(0, comma);
    if (field.size() >= 2 && field.front() == '"' && field.back() == '"') field = field.substr(1, field.size() - 2);
    fields.push_back(field);
    if (comma == std::string_view::npos) return fields;
    line.remove_prefix(comma + 1);
  }
}

std::optional<double> number_of(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

/// Is it a number in JSON's grammar, which knows no leading zeros, points or pluses?
bool is_json_number(std::string_view text) {
  if (!number_of(text)) return false;
  const std::string_view digits = text.front() == '-' ? text.substr(1) : text;
  if (digits.empty() || digits.front() < '0' || digits.front() > '9') return false;
  const bool leading_zero = digits.size() > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9';
  return !leading_zero && digits.back() != '.' && digits.find(".e") == std::string_view::npos;
}

std::string to_json(std::string_view cell) {
  if (cell.empty() || cell == "NaN" || cell == "nan" || cell == "NA") return {};
  if (is_json_number(cell)) return std::string(cell);
  std::string text = "\"";
  for (const char c : cell) {
    if (c == '"' || c == '\\') text.push_back('\\');
    text.push_back(static_cast<unsigned char>(c) < 0x20 ? ' ' : c);
  }
  return text + '"';
}

std::optional<TimeUs> time_of_text(std::string_view text) {
  for (const std::string& candidate : {std::string(text), std::string(text) + "Z", std::string(text) + "T00:00:00Z"}) {
    if (const auto time = parse_rfc3339(candidate)) return *time;
  }
  const auto number = number_of(text);
  if (!number) return std::nullopt;
  // The bounds of docs/protocols.md.
  const double size = std::abs(*number);
  const double factor = size < 1e11 ? 1e6 : size < 1e14 ? 1e3 : size < 1e17 ? 1 : 1e-3;
  return std::llround(*number * factor);
}

}  // namespace

FileReadings::FileReadings(const ReadingsOptions& options, std::string_view csv, SequencePoint sequence)
    : Readings(options), sequence_(sequence) {
  parse(csv);
}

void FileReadings::parse(std::string_view csv) {
  std::size_t number = 0;
  while (!csv.empty()) {
    const std::size_t end = csv.find('\n');
    std::string_view line = csv.substr(0, end);
    csv.remove_prefix(end == std::string_view::npos ? csv.size() : end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    ++number;
    if (line.empty()) continue;
    const auto fields = split(line);
    if (metrics_.empty()) {
      metrics_.assign(fields.begin() + 1, fields.end());
      if (metrics_.empty()) throw std::invalid_argument("the first line names no metric");
      continue;
    }
    const auto fault = [&](const std::string& what) {
      return std::invalid_argument("line " + std::to_string(number) + ": " + what);
    };
    if (fields.size() != metrics_.size() + 1) throw fault("has another number of fields than the first line");
    const auto time = time_of_text(fields[0]);
    if (!time) throw fault("the first field is no time");
    if (!times_.empty() && *time <= times_.back()) throw fault("times must grow");
    times_.push_back(*time);
    for (std::size_t i = 1; i < fields.size(); ++i) cells_.push_back(to_json(fields[i]));
  }
  if (times_.empty()) throw std::invalid_argument("there is no row");
}

std::optional<Message> FileReadings::make(std::size_t device, std::uint32_t index, TimeUs now_us,
                                          TimeUs last_time_us) const {
  if (index > times_.size()) return std::nullopt;
  const bool timed = is_timed(device, index);
  static_cast<void>(now_us);
  static_cast<void>(last_time_us);
  return Message{index, timed, times_[index - 1], 0};
}

void FileReadings::write(std::size_t, const Message& message, std::string& out) const {
  out.push_back('{');
  bool first = true;
  const auto member = [&](std::string_view name, std::string_view value) {
    if (!first) out.push_back(',');
    first = false;
    out.append("\"").append(name).append("\":").append(value);
  };
  if (message.timed) member("ts", std::to_string(message.time_us));
  if (sequence_ == SequencePoint::kAdd) member(kSequenceMetric, std::to_string(sequence_of(message)));
  const std::string* row = &cells_[(message.index - 1) * metrics_.size()];
  for (std::size_t i = 0; i < metrics_.size(); ++i) {
    if (!row[i].empty()) member(metrics_[i], row[i]);
  }
  out.push_back('}');
}

std::optional<double> FileReadings::expected(std::size_t, const Message& message, std::size_t metric) const {
  return number_of(cells_[(message.index - 1) * metrics_.size() + metric]);
}

Result<std::string> read_text_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return Error{ErrorKind::kInvalid, path.string() + ": " + std::strerror(errno)};
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

}  // namespace millrace::fleet
