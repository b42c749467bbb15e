#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include <millrace/archive_format/rows.hpp>
#include <millrace/base/result.hpp>

namespace arrow::io {
class RandomAccessFile;
}

namespace millrace::parquet_worker {

using archive_format::Row;
using archive_format::RowBlock;

/// What stands in a file's key-value metadata, as millrace.<name>, beside format (1).
struct FileFacts {
  std::string partition;  ///< as sample/2026-11-20
  std::int64_t generation = 0;
  std::int64_t rows = 0;
  std::string rows_hash;  ///< of archive_format::RowsHash, over all rows in their order
  std::int64_t min_time = 0;
  std::int64_t max_time = 0;
};

/// One Parquet file on the local disk: device_id, metric, time, value, kind, other, untimed, as storage.sample has
/// them; zstd, statistics and a page index, sorted. Holds one row group in memory, encoded.
class FileWriter {
 public:
  virtual ~FileWriter() = default;
  /// `facts`: partition and generation. An existing file is replaced.
  [[nodiscard]] static Result<std::unique_ptr<FileWriter>> open(const std::string& path, const FileFacts& facts);
  /// kInvalid: a row that does not lie behind the one before it by device, metric, time.
  [[nodiscard]] virtual Status add(const RowBlock& block) = 0;
  /// Writes the footer and flushes the file to disk.
  [[nodiscard]] virtual Result<FileFacts> finish() = 0;
};

/// Which rows of a file are wanted, in its order.
struct Selection {
  std::optional<std::int32_t> device = {};       ///< empty: all
  std::optional<std::int32_t> last_device = {};  ///< with device: all from it to this one; empty: it alone
  std::optional<std::int32_t> metric = {};
  std::optional<std::int32_t> last_metric = {};
  std::int64_t from = std::numeric_limits<std::int64_t>::min();
  std::int64_t to = std::numeric_limits<std::int64_t>::max();  ///< exclusive
  std::int64_t limit = std::numeric_limits<std::int64_t>::max();
};

struct ReadFigures {
  std::int64_t rows = 0;
  int row_groups = 0;
  int row_groups_read = 0;  ///< the statistics of the others say that they hold nothing that is wanted
};

/// A file that a FileWriter wrote. kCorrupt: no Parquet file, or not one of ours. Holds one row group of the wanted
/// columns in memory at most.
class FileReader {
 public:
  virtual ~FileReader() = default;
  [[nodiscard]] static Result<std::unique_ptr<FileReader>> open(std::shared_ptr<arrow::io::RandomAccessFile> file);
  /// What the footer says.
  [[nodiscard]] virtual const FileFacts& facts() const = 0;
  /// Calls `each` with the wanted rows; ends where it fails.
  [[nodiscard]] virtual Result<ReadFigures> read(const Selection& selection,
                                                 const std::function<Status(const Row&)>& each) = 0;
};

/// SHA-256 of all bytes.
[[nodiscard]] Result<std::string> sha256_of(arrow::io::RandomAccessFile& file);
[[nodiscard]] Result<std::int64_t> bytes_of(arrow::io::RandomAccessFile& file);
[[nodiscard]] Result<std::shared_ptr<arrow::io::RandomAccessFile>> open_local(const std::string& path);

}  // namespace millrace::parquet_worker
