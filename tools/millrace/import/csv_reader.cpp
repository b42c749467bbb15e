#include "import/csv_reader.hpp"

#include <string_view>

namespace millrace::cli {

CsvReader::CsvReader(std::istream& in) : in_(*in.rdbuf()) {
  constexpr std::string_view kMark = "\xEF\xBB\xBF";
  std::size_t same = 0;
  for (; same < kMark.size() && in_.sgetc() == static_cast<unsigned char>(kMark[same]); ++same) in_.sbumpc();
  // A part of a mark is the file's own text.
  if (same < kMark.size()) {
    for (; same > 0; --same) in_.sungetc();
  }
  position_ = same;
}

int CsvReader::take() {
  const auto c = in_.sbumpc();
  if (c == std::streambuf::traits_type::eof()) return kNone;
  ++position_;
  return c;
}

CsvReader::Kind CsvReader::next(std::vector<std::string>& fields) {
  fields.clear();
  ++line_;
  const std::uint64_t begin = position_;
  bool quoted = false;
  for (int c = take(); c != kNone; c = take()) {
    if (fields.empty()) fields.emplace_back();
    if (c == '\n') break;
    if (position_ - begin > kLargestRecord) continue;
    std::string& field = fields.back();
    if (quoted) {
      if (c != '"') {
        field += static_cast<char>(c);
      } else if (in_.sgetc() == '"') {
        field += static_cast<char>(take());
      } else {
        quoted = false;
      }
    } else if (c == '"' && field.empty()) {
      quoted = true;
    } else if (c == ',') {
      fields.emplace_back();
    } else if (c != '\r') {
      field += static_cast<char>(c);
    }
  }
  if (fields.empty()) return Kind::kEnd;
  if (position_ - begin > kLargestRecord) return Kind::kTooLong;
  return quoted ? Kind::kOpenQuote : Kind::kRecord;
}

}  // namespace millrace::cli
