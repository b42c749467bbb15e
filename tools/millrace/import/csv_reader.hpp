#pragma once

#include <cstdint>
#include <istream>
#include <string>
#include <vector>

namespace millrace::cli {

/// Records of a CSV file, one at a time: its memory does not grow with the file. As RFC 4180 has it, but that a record
/// ends with its line whatever its quotes say: one quote too many is the fault of one line.
class CsvReader {
 public:
  enum class Kind {
    kRecord,
    kOpenQuote,  ///< a quote is not closed within the line
    kTooLong,    ///< more than kLargestRecord
    kEnd,
  };
  static constexpr std::size_t kLargestRecord = 64 * 1024;

  /// Passes over a byte order mark. `in` must outlive it.
  explicit CsvReader(std::istream& in);

  /// The next record's fields, quotes resolved.
  [[nodiscard]] Kind next(std::vector<std::string>& fields);

  /// The line, from 1, of the record that next() gave.
  [[nodiscard]] std::size_t line() const { return line_; }
  /// Bytes read so far.
  [[nodiscard]] std::uint64_t position() const { return position_; }

 private:
  static constexpr int kNone = -1;
  int take();

  std::streambuf& in_;
  std::uint64_t position_ = 0;
  std::size_t line_ = 0;
};

}  // namespace millrace::cli
