#pragma once

#include <cstdint>
#include <istream>
#include <string>
#include <vector>

#include "import/csv_reader.hpp"

namespace millrace::cli {

/// One line of an import file.
struct ImportRow {
  std::size_t line = 0;
  std::string device;
  std::string attributes_json;  ///< empty: none
  std::string fault;            ///< not empty: why this line cannot be a device
};

/// A CSV file of devices, read line by line. With a header whose first column is `device` the other columns are
/// attributes under their names; without one there is the device's id alone in each line. A record is a line.
class ImportFile {
 public:
  /// Throws CommandError where the first line names columns, and `device` is not the first of them. `in` must outlive
  /// it.
  explicit ImportFile(std::istream& in);

  /// False at the end. A line that is no device has its `fault`; the next one is read all the same.
  [[nodiscard]] bool next(ImportRow& row);
  [[nodiscard]] std::uint64_t position() const { return csv_.position(); }

 private:
  void read_header();
  void fill(ImportRow& row) const;

  CsvReader csv_;
  CsvReader::Kind kind_ = CsvReader::Kind::kEnd;  // of the record in fields_
  bool taken_ = false;                            // that record was given
  std::vector<std::string> names_;                // of the columns; empty: no header
  std::vector<std::string> fields_;
};

}  // namespace millrace::cli
