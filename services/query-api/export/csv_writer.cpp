#include "export/csv_writer.hpp"

#include <array>
#include <charconv>

namespace millrace::query_api {
namespace {

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  out += '"';
}

void append_name(std::string& out, std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) {
    out += text;
  } else {
    append_quoted(out, text);
  }
}

template <typename Number>
void append_number(std::string& out, Number number) {
  std::array<char, 32> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number);
  out.append(digits.data(), end.ptr);
}

struct ValueColumns {
  std::string& out;
  void operator()(double number) const {
    out += "double,";
    append_number(out, number);
  }
  void operator()(std::int64_t number) const {
    out += "int,";
    append_number(out, number);
  }
  void operator()(bool truth) const { out += truth ? "bool,true" : "bool,false"; }  // NOLINT: a value, not a mode
  void operator()(const std::string& text) const {
    out += "string,";
    append_quoted(out, text);
  }
  void operator()(const telemetry::Json& json) const {
    out += "json,";
    append_quoted(out, json.text);
  }
};

}  // namespace

void append_csv(std::string& out, std::string_view device, std::string_view metric, TimeUs time,
                const telemetry::Value& value, bool untimed) {
  append_name(out, device);
  out += ',';
  append_name(out, metric);
  out += ',';
  out += format_rfc3339(time);
  out += ',';
  std::visit(ValueColumns{out}, value);
  out += untimed ? ",true\r\n" : ",\r\n";
}

Result<bool> CsvEncoder::begin(std::string& data, const Patience& /*patience*/) {
  if (!headed_) data += kCsvHeading;
  headed_ = true;
  return true;
}

Status CsvEncoder::add(const ExportPoint& point, std::string& data) {
  append_csv(data, point.device, point.metric, point.time, point.value, point.untimed);
  return {};
}

Status CsvEncoder::end(bool last, std::string& /*data*/, const Patience& /*patience*/) {
  complete_ = last;
  return {};
}

}  // namespace millrace::query_api
