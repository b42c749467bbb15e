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
  if (c == '\n') ++lines_;
  return c;
}

CsvReader::Kind CsvReader::next(std::vector<std::string>& fields) {
  fields.clear();
  first_line_ = lines_ + 1;
  const std::uint64_t begin = position_;
  bool quoted = false;
  for (int c = take(); c != kNone; c = take()) {
    if (fields.empty()) fields.emplace_back();
    const bool too_long = position_ - begin > kLargestRecord;
    if (c == '\n' && (!quoted || too_long)) {
      last_line_ = lines_;
      return too_long ? Kind::kTooLong : Kind::kRecord;
    }
    if (too_long) continue;
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
  last_line_ = lines_ + 1;
  if (fields.empty()) return Kind::kEnd;
  return quoted || position_ - begin > kLargestRecord ? Kind::kTooLong : Kind::kRecord;
}

}  // namespace millrace::cli
