#pragma once

#include <vector>

#include <millrace/storage_schema/segment.hpp>

#include "export/export_reader.hpp"

namespace millrace::query_api {

/// The rows of one COPY of an export: rows as they are, segments of numbers unpacked. Memory of what was added.
class GatheredRows {
 public:
  /// The first column of a segment, behind those of storage_schema::archive_row().
  static constexpr int kPackedAt = 7;
  /// Texts up to here can all be in a piece without a look at their sizes.
  static constexpr std::int64_t kShort = ExportReader::kBytes / ExportReader::kRows;

  /// Borrows both.
  GatheredRows(const ExportScope& scope, const ExportStretch& stretch) : scope_(scope), stretch_(stretch) {}

  /// The next row of the COPY, in the order of (device, metric, time or start).
  void add(const postgres::CopyFields& fields);

  /// The first rows of the stretch, as ExportReader::rows() gives them, of a COPY that was cut behind kBytes of text or
  /// behind kRows of its rows. None, and stopped_at_text(): the first row is a longer text, which was left out of the
  /// COPY.
  [[nodiscard]] Result<ExportRows> take();
  [[nodiscard]] bool stopped_at_text() const { return left_out_; }

 private:
  void add_segment(const postgres::CopyFields& fields);

  const ExportScope& scope_;
  const ExportStretch& stretch_;
  archive::RowKey last_;  // of the COPY's rows
  std::int64_t bytes_ = 0;
  bool left_out_ = false;  // the last one's text: what comes behind does not count
  Status outcome_;
  std::vector<archive::OwnedRow> rows_;
  std::vector<storage_schema::PackedNumber> numbers_;
};

}  // namespace millrace::query_api
