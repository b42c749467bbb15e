#include "import/import_file.hpp"

#include <millrace/base/ids.hpp>

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

bool ImportFile::next(ImportRow& row) {
  for (;;) {
    const CsvReader::Kind kind = csv_.next(fields_);
    if (kind == CsvReader::Kind::kEnd) return false;
    row = ImportRow{csv_.first_line(), {}, {}, {}};
    if (kind == CsvReader::Kind::kTooLong) {
      row.fault = "a quote that is not closed, or a line of more than " +
                  std::to_string(CsvReader::kLargestRecord / 1024) + " KiB; passed over up to line " +
                  std::to_string(csv_.last_line());
      return true;
    }
    if (fields_.size() == 1 && fields_[0].empty()) continue;
    if (row.line == 1 && fields_[0] == "device") {
      names_ = fields_;
      continue;
    }
    fill(row);
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
