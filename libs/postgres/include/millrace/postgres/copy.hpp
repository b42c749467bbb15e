#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <millrace/base/time.hpp>

namespace millrace::postgres {

/// Rows in the binary COPY format (PostgreSQL manual, COPY, "Binary Format"), appended to one buffer that is reused.
/// Usage: begin_row(columns) followed by exactly that many fields, for each row; finish(); bytes(). Not thread-safe; no
/// failure but memory.
class CopyEncoder {
 public:
  CopyEncoder() { clear(); }

  /// Forgets the rows, keeps the memory.
  void clear();
  void reserve(std::size_t bytes) { buffer_.reserve(bytes); }

  void begin_row(std::int16_t columns) {
    put16(static_cast<std::uint16_t>(columns));
    ++rows_;
  }
  void null() { put32(0xffffffffU); }
  void int2(std::int16_t value) {
    put32(2);
    put16(static_cast<std::uint16_t>(value));
  }
  void int4(std::int32_t value) {
    put32(4);
    put32(static_cast<std::uint32_t>(value));
  }
  void int8(std::int64_t value) {
    put32(8);
    put64(static_cast<std::uint64_t>(value));
  }
  void float8(double value);
  void boolean(bool value) {  // NOLINT: the value, not a mode
    put32(1);
    buffer_ += value ? '\1' : '\0';
  }
  void timestamptz(TimeUs value);
  void text(std::string_view value);
  void bytea(std::string_view value) { text(value); }
  /// Fields that are in the format already, each with its length before it.
  void encoded(std::string_view fields) { buffer_ += fields; }

  /// Writes the trailer; after it only bytes() and clear() make sense.
  void finish();
  [[nodiscard]] std::string_view bytes() const { return buffer_; }
  [[nodiscard]] std::size_t rows() const { return rows_; }

 private:
  void put16(std::uint16_t value);
  void put32(std::uint32_t value);
  void put64(std::uint64_t value);

  std::string buffer_;
  std::size_t rows_ = 0;
};

/// Microseconds between the Unix epoch and PostgreSQL's (2000-01-01).
inline constexpr TimeUs kPostgresEpochUs = 946'684'800'000'000;

}  // namespace millrace::postgres
