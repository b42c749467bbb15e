#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "export/export_reader.hpp"
#include "read/cold_reader.hpp"

namespace millrace::query_api {

/// What an export takes from the files of archived days, read ahead: some devices at once, fewer where they hold much,
/// a part of one series where that holds more than kMostRows. One thread; blocks.
class ArchivedRows {
 public:
  explicit ArchivedRows(ColdReader& cold) : cold_(cold) {}

  static constexpr std::int64_t kMostRows = 100'000;        ///< kept
  static constexpr std::int64_t kMostBytes = 4 << 20;       ///< of text kept, and one row more
  static constexpr std::int64_t kMostGiven = 8'000;         ///< rows of one piece
  static constexpr std::int64_t kMostGivenBytes = 500'000;  ///< of text of one piece

  /// Has what lies behind `after` in these files; reads it unless it is here.
  [[nodiscard]] Status load(const std::vector<std::string>& files, const ExportScope& scope,
                            const ExportMetrics& metrics, const KeyRun& run,
                            const std::optional<archive::RowKey>& after, const Patience& patience);

  /// How far load() read, included; empty: to the end of the run.
  [[nodiscard]] const std::optional<archive::RowKey>& until() const { return until_; }

  /// No file holds anything of the range (any more).
  void drop();

  /// These rows of the database, which lie behind the same `after`, and the loaded ones as the piece that follows the
  /// one before.
  [[nodiscard]] Result<ExportRows> with(const ExportRows& hot, const std::optional<archive::RowKey>& after);
  /// Whether rows that had to make room wait for their place in the next piece.
  [[nodiscard]] bool holds_back() const { return merge_.since().has_value(); }

  /// Reads with it from now on, instead of waiting for one each time.
  void use(SharedSeat seat) { seat_ = std::move(seat); }

 private:
  /// What is read in one go.
  struct Part {
    ColdRange range;
    std::optional<archive::RowKey> until;
    bool one_series = false;
  };

  [[nodiscard]] bool holds(const std::vector<std::string>& files, const KeyRun& run,
                           const std::optional<archive::RowKey>& after) const;
  [[nodiscard]] Part part_from(const archive::RowKey& next, const ExportScope& scope, const ExportMetrics& metrics,
                               const KeyRun& run) const;
  /// False: it holds more than may be kept, and was cut.
  [[nodiscard]] Result<bool> read(const Part& part, const archive::RowKey& next, const ExportScope& scope,
                                  const ExportMetrics& metrics, const Patience& patience);
  void narrow(const archive::RowKey& next);
  void widen(const archive::RowKey& next);
  [[nodiscard]] bool by_devices(const archive::RowKey& next) const;

  ColdReader& cold_;
  SharedSeat seat_;  // null: none of its own
  bool loaded_ = false;
  std::vector<std::string> files_;
  KeyRun run_;
  std::vector<archive::OwnedRow> rows_;  // ascending
  archive::Merge merge_;                 // over all pieces
  std::optional<archive::RowKey> until_;
  std::int32_t devices_at_once_ = 16;
  std::int32_t metrics_at_once_ = 16;
  std::optional<std::int32_t> big_device_;  // holds more than may be kept
};

}  // namespace millrace::query_api
