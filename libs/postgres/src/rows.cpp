#include <bit>
#include <cstdio>
#include <cstdlib>
#include <limits>

#include <millrace/postgres/copy.hpp>

#include "big_endian.hpp"
#include "connection_impl.hpp"

namespace millrace::postgres {
namespace {

constexpr Oid kJsonb = 3802;

[[noreturn]] void wrong_access(const PGresult* result, int row, int column, const char* wanted) {
  std::fprintf(stderr, "fault: row %d, column %d ('%s', type %u%s) read as %s\n", row, column, PQfname(result, column),
               PQftype(result, column), PQgetisnull(result, row, column) != 0 ? ", NULL" : "", wanted);
  std::abort();
}

// The bytes of a field that must be there.
std::string_view field(const PGresult* result, int row, int column, const char* wanted) {
  if (row < 0 || row >= PQntuples(result) || column < 0 || column >= PQnfields(result) ||
      PQgetisnull(result, row, column) != 0) {
    wrong_access(result, row, column, wanted);
  }
  return {PQgetvalue(result, row, column), static_cast<std::size_t>(PQgetlength(result, row, column))};
}

}  // namespace

Rows::Rows() : impl_(std::make_unique<Impl>()) {}
Rows::Rows(Rows&&) noexcept = default;
Rows& Rows::operator=(Rows&&) noexcept = default;
Rows::~Rows() = default;

int Rows::size() const { return PQntuples(impl_->result.get()); }
std::int64_t Rows::affected() const { return std::strtoll(PQcmdTuples(impl_->result.get()), nullptr, 10); }
bool Rows::is_null(int row, int column) const { return PQgetisnull(impl_->result.get(), row, column) != 0; }

std::int64_t Rows::integer(int row, int column) const {
  const std::string_view bytes = field(impl_->result.get(), row, column, "an integer");
  switch (bytes.size()) {
    case 2:
      return static_cast<std::int16_t>(load_big_endian<std::uint16_t>(bytes.data()));
    case 4:
      return static_cast<std::int32_t>(load_big_endian<std::uint32_t>(bytes.data()));
    case 8:
      return static_cast<std::int64_t>(load_big_endian<std::uint64_t>(bytes.data()));
    default:
      wrong_access(impl_->result.get(), row, column, "an integer");
  }
}

double Rows::float8(int row, int column) const {
  const std::string_view bytes = field(impl_->result.get(), row, column, "a float");
  if (bytes.size() == 4) return std::bit_cast<float>(load_big_endian<std::uint32_t>(bytes.data()));
  if (bytes.size() != 8) wrong_access(impl_->result.get(), row, column, "a float");
  return std::bit_cast<double>(load_big_endian<std::uint64_t>(bytes.data()));
}

bool Rows::boolean(int row, int column) const {
  const std::string_view bytes = field(impl_->result.get(), row, column, "a boolean");
  if (bytes.size() != 1) wrong_access(impl_->result.get(), row, column, "a boolean");
  return bytes[0] != '\0';
}

TimeUs Rows::timestamptz(int row, int column) const {
  const std::string_view bytes = field(impl_->result.get(), row, column, "a time");
  if (bytes.size() != 8) wrong_access(impl_->result.get(), row, column, "a time");
  const auto value = static_cast<std::int64_t>(load_big_endian<std::uint64_t>(bytes.data()));
  if (value == std::numeric_limits<std::int64_t>::max() || value == std::numeric_limits<std::int64_t>::min())
    return value;
  return value + kPostgresEpochUs;
}

std::string_view Rows::text(int row, int column) const {
  std::string_view bytes = field(impl_->result.get(), row, column, "text");
  if (PQftype(impl_->result.get(), column) == kJsonb && !bytes.empty()) bytes.remove_prefix(1);  // version byte
  return bytes;
}

std::vector<std::int32_t> Rows::int4_array(int row, int column) const {
  std::string_view bytes = field(impl_->result.get(), row, column, "an int4 array");
  std::vector<std::int32_t> out;
  if (bytes.size() < 12) wrong_access(impl_->result.get(), row, column, "an int4 array");
  if (load_big_endian<std::uint32_t>(bytes.data()) == 0) return out;
  if (bytes.size() < 20 || load_big_endian<std::uint32_t>(bytes.data()) != 1) {
    wrong_access(impl_->result.get(), row, column, "an int4 array of one dimension");
  }
  const auto count = load_big_endian<std::uint32_t>(bytes.data() + 12);
  if (bytes.size() != 20 + std::size_t{count} * 8)
    wrong_access(impl_->result.get(), row, column, "an int4 array without NULL");
  for (std::uint32_t i = 0; i < count; ++i) {
    out.push_back(static_cast<std::int32_t>(load_big_endian<std::uint32_t>(bytes.data() + 24 + std::size_t{i} * 8)));
  }
  return out;
}

}  // namespace millrace::postgres
