#pragma once

#include <cstdint>
#include <istream>
#include <string>
#include <vector>

namespace millrace::cli {

/// Records of a CSV file (RFC 4180), one at a time: its memory does not grow with the file.
class CsvReader {
 public:
  enum class Kind {
    kRecord,
    kTooLong,  ///< more than kLargestRecord, as behind a quote that is never closed; passed over up to a line's end
    kEnd,
  };
  static constexpr std::size_t kLargestRecord = 64 * 1024;

  /// Passes over a byte order mark. `in` must outlive it.
  explicit CsvReader(std::istream& in);

  /// The next record's fields, quotes resolved.
  [[nodiscard]] Kind next(std::vector<std::string>& fields);

  /// Lines, from 1, on which the record that next() gave begins and ends.
  [[nodiscard]] std::size_t first_line() const { return first_line_; }
  [[nodiscard]] std::size_t last_line() const { return last_line_; }
  /// Bytes read so far.
  [[nodiscard]] std::uint64_t position() const { return position_; }

 private:
  static constexpr int kNone = -1;
  int take();

  std::streambuf& in_;
  std::uint64_t position_ = 0;
  std::size_t lines_ = 0;  // line ends taken
  std::size_t first_line_ = 0;
  std::size_t last_line_ = 0;
};

}  // namespace millrace::cli
