#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/base/result.hpp>

namespace millrace::archive_format {

/// What an archived row is found by and sorted by. Times are microseconds since the epoch.
struct RowKey {
  std::int32_t device = 0;
  std::int32_t metric = 0;
  std::int64_t time = 0;
  auto operator<=>(const RowKey&) const = default;
};

/// A row of storage.sample. `kind` is the column of that name: 0 for a number in `number`, else 1 to 4 with the value
/// in `other`. A view: `other` belongs to somebody else.
struct Row {
  RowKey key;
  std::uint8_t kind = 0;
  bool untimed = false;
  double number = 0;
  std::string_view other;
};
inline constexpr std::uint8_t kMostKind = 4;

/// Same key and the same value bit for bit.
[[nodiscard]] bool same_row(const Row& a, const Row& b);

/// Rows by column, as they travel: the worker hands the columns to Arrow as they are.
class RowBlock {
 public:
  /// A block is full at so many rows or bytes of text; one row's text may go beyond, up to the limit of a frame.
  static constexpr std::size_t kFullRows = 32'768;
  static constexpr std::size_t kFullBytes = 1U << 20;
  static constexpr std::size_t kMostText = 8U << 20;

  /// False, and nothing is added: its text is longer than kMostText.
  [[nodiscard]] bool add(const Row& row);
  void clear();
  [[nodiscard]] std::size_t size() const { return devices_.size(); }
  [[nodiscard]] bool empty() const { return devices_.empty(); }
  [[nodiscard]] bool full() const { return size() >= kFullRows || text_.size() >= kFullBytes; }
  /// The row's text lives until the block changes.
  [[nodiscard]] Row at(std::size_t index) const;

  [[nodiscard]] const std::vector<std::int32_t>& devices() const { return devices_; }
  [[nodiscard]] const std::vector<std::int32_t>& metrics() const { return metrics_; }
  [[nodiscard]] const std::vector<std::int64_t>& times() const { return times_; }
  [[nodiscard]] const std::vector<double>& numbers() const { return numbers_; }
  [[nodiscard]] const std::vector<std::uint8_t>& kinds() const { return kinds_; }

  /// The payload of a frame kRows.
  [[nodiscard]] std::string encode() const;
  /// kInvalid: cut, an unknown kind, or text that its lengths do not fit.
  [[nodiscard]] static Result<RowBlock> decode(std::string_view payload);

 private:
  std::vector<std::int32_t> devices_;
  std::vector<std::int32_t> metrics_;
  std::vector<std::int64_t> times_;
  std::vector<double> numbers_;
  std::vector<std::uint8_t> kinds_;  // with kUntimed
  std::vector<std::uint32_t> ends_;  // of each row's text within text_
  std::string text_;
};

/// Hash of a sequence of rows: the same rows in the same order give the same value in every build. Tells damage and
/// faults apart from identity; no protection against an adversary (the file's SHA-256 is).
class RowsHash {
 public:
  void add(const Row& row);
  void add(const RowBlock& block);
  [[nodiscard]] std::int64_t rows() const { return rows_; }
  [[nodiscard]] std::uint64_t value() const { return state_; }
  /// 16 hexadecimal digits.
  [[nodiscard]] std::string hex() const;

 private:
  void mix(std::uint64_t word);

  std::uint64_t state_ = 0x9e3779b97f4a7c15U;
  std::int64_t rows_ = 0;
};

}  // namespace millrace::archive_format
