#include <bit>

#include <millrace/postgres/copy.hpp>

#include "big_endian.hpp"

namespace millrace::postgres {
namespace {

constexpr std::string_view kSignature{"PGCOPY\n\377\r\n\0", 11};

}  // namespace

void CopyEncoder::clear() {
  buffer_.assign(kSignature);
  buffer_.append(8, '\0');  // flags, length of the header extension
  rows_ = 0;
}

void CopyEncoder::put16(std::uint16_t value) { append_big_endian(buffer_, value); }
void CopyEncoder::put32(std::uint32_t value) { append_big_endian(buffer_, value); }
void CopyEncoder::put64(std::uint64_t value) { append_big_endian(buffer_, value); }

void CopyEncoder::float8(double value) {
  put32(8);
  put64(std::bit_cast<std::uint64_t>(value));
}

void CopyEncoder::timestamptz(TimeUs value) { int8(value - kPostgresEpochUs); }

void CopyEncoder::text(std::string_view value) {
  put32(static_cast<std::uint32_t>(value.size()));
  buffer_ += value;
}

void CopyEncoder::finish() { put16(0xffffU); }

}  // namespace millrace::postgres
