#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include <millrace/archive_format/rows.hpp>

#include "pipe.hpp"

namespace millrace::parquet_worker {

/// A file for people, written to the pipe as it grows, in frames kBytes: device, metric, time, type, value_double,
/// value_int, value_bool, value_text, untimed. Parquet (zstd) or Arrow's IPC stream. Holds one row group at most.
class ExportFile {
 public:
  virtual ~ExportFile() = default;
  /// `format`: parquet or arrow; kInvalid: another. The pipe outlives the file.
  [[nodiscard]] static Result<std::unique_ptr<ExportFile>> open(std::string_view format, Pipe& pipe);
  /// Names of the next block's devices (d<key>) and metrics (m<key>).
  [[nodiscard]] virtual Status learn(const archive_format::Fields& names) = 0;
  /// Kind 0 is a double, 1 an integer in digits. Forgets the names. kInvalid: a row without names.
  [[nodiscard]] virtual Status add(const archive_format::RowBlock& block) = 0;
  /// Writes what is left; gives the number of rows.
  [[nodiscard]] virtual Result<std::int64_t> finish() = 0;
};

}  // namespace millrace::parquet_worker
