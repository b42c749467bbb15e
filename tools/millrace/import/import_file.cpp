#include "import/import_file.hpp"

#include <millrace/base/ids.hpp>

#include "command_error.hpp"
#include "text.hpp"

namespace millrace::cli {
namespace {

std::string attributes_of(const std::vector<std::string>& names, const std::vector<std::string>& fields) {
  std::string json;
  for (std::size_t i = 1; i < fields.size(); ++i) {
    if (fields[i].empty()) continue;
    json += (json.empty() ? "{" : ",") + json_string(names[i]) + ":" + json_string(fields[i]);
  }
  return json.empty() ? json : json + "}";
}

}  // namespace

ImportFile::ImportFile(std::istream& in) : csv_(in) { read_header(); }

void ImportFile::read_header() {
  kind_ = csv_.next(fields_);
  if (kind_ != CsvReader::Kind::kRecord) return;
  if (fields_[0] == "device") {
    names_ = fields_;
    taken_ = true;
    return;
  }
  if (fields_.size() == 1) return;
  throw CommandError(
      "line 1: a file of more than one column begins with a line that names them, `device` first; this "
      "one begins with `" +
          printable(fields_[0]) + '`',
      "put the ids into the first column under the heading `device`, and make the same call again");
}

bool ImportFile::next(ImportRow& row) {
  for (;; taken_ = true) {
    if (taken_) kind_ = csv_.next(fields_);
    if (kind_ == CsvReader::Kind::kEnd) return false;
    if (kind_ == CsvReader::Kind::kRecord && fields_.size() == 1 && fields_[0].empty()) continue;
    taken_ = true;
    row = ImportRow{csv_.line(), {}, {}, {}};
    if (kind_ == CsvReader::Kind::kOpenQuote) {
      row.fault = "a quote is not closed in this line";
    } else if (kind_ == CsvReader::Kind::kTooLong) {
      row.fault = "the line has more than " + std::to_string(CsvReader::kLargestRecord / 1024) + " KiB";
    } else {
      fill(row);
    }
    return true;
  }
}

void ImportFile::fill(ImportRow& row) const {
  row.device = fields_[0];
  const std::size_t columns = names_.empty() ? 1 : names_.size();
  if (fields_.size() > columns) {
    row.fault = std::to_string(fields_.size()) + " fields, not " + std::to_string(columns);
    if (names_.empty()) row.fault += " (further columns need a first line that names them: device,<attribute>,...)";
    return;
  }
  if (const Status valid = check_id("device id", row.device); !valid.ok()) {
    row.fault = valid.error().message;
    return;
  }
  row.attributes_json = attributes_of(names_, fields_);
}

}  // namespace millrace::cli
