#include <array>
#include <bit>
#include <charconv>
#include <cmath>

#include <millrace/postgres/connection.hpp>
#include <millrace/postgres/copy.hpp>

#include "big_endian.hpp"

namespace millrace::postgres {
namespace {

// Type numbers of the server's catalogue; they never change (src/include/catalog/pg_type.dat).
enum TypeOid : unsigned {
  kBytea = 17,
  kInt8 = 20,
  kInt2 = 21,
  kInt4 = 23,
  kText = 25,
  kFloat8 = 701,
  kTimestamptz = 1184,
};
enum ArrayOid : unsigned {
  kInt2Array = 1005,
  kInt4Array = 1007,
  kTextArray = 1009,
  kInt8Array = 1016,
  kFloat8Array = 1022,
  kTimestamptzArray = 1185,
};

template <typename T>
void append_element(std::string& out, T value) {
  append_big_endian<std::uint32_t>(out, sizeof(T));
  append_big_endian(out, static_cast<std::make_unsigned_t<T>>(value));
}

void append_element(std::string& out, double value) {
  append_big_endian<std::uint32_t>(out, 8);
  append_big_endian(out, std::bit_cast<std::uint64_t>(value));
}

void append_element(std::string& out, const std::string& value) {
  append_big_endian(out, static_cast<std::uint32_t>(value.size()));
  out += value;
}

template <typename T>
void append_element(std::string& out, const std::optional<T>& value) {
  if (value)
    append_element(out, *value);
  else
    append_big_endian<std::uint32_t>(out, 0xffffffffU);
}

// array_send's format: dimensions, has-nulls flag, element type, then length and lower bound of the one dimension.
template <typename T>
std::string array_bytes(std::span<const T> values, TypeOid element) {
  std::string out;
  out.reserve(20 + values.size() * 12);
  append_big_endian<std::uint32_t>(out, values.empty() ? 0 : 1);
  append_big_endian<std::uint32_t>(out, 1);
  append_big_endian<std::uint32_t>(out, element);
  if (values.empty()) return out;
  append_big_endian(out, static_cast<std::uint32_t>(values.size()));
  append_big_endian<std::uint32_t>(out, 1);
  for (const T& value : values) append_element(out, value);
  return out;
}

}  // namespace

Params& Params::null() {
  values_.push_back({{}, 0, 0, true});
  return *this;
}

Params& Params::text(std::string_view value) {
  values_.push_back({std::string(value), 0, 0, false});
  return *this;
}

Params& Params::optional_text(const std::optional<std::string>& value) {
  return value ? text(std::string_view{*value}) : null();
}
Params& Params::integer(std::int64_t value) { return text(std::string_view{std::to_string(value)}); }

Params& Params::float8(double value) {
  if (std::isnan(value)) return text(std::string_view{"NaN"});
  if (std::isinf(value)) return text(std::string_view{value > 0 ? "Infinity" : "-Infinity"});
  std::array<char, 32> digits{};
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  static_cast<void>(error);  // 32 bytes hold every double
  return text(std::string_view{digits.data(), static_cast<std::size_t>(end - digits.data())});
}

Params& Params::boolean(bool value) { return text(std::string_view{value ? "t" : "f"}); }

Params& Params::bytea(std::string_view bytes) {
  values_.push_back({std::string(bytes), kBytea, 1, false});
  return *this;
}

Params& Params::timestamptz(TimeUs value) {
  std::string bytes;
  append_big_endian(bytes, static_cast<std::uint64_t>(value - kPostgresEpochUs));
  values_.push_back({std::move(bytes), kTimestamptz, 1, false});
  return *this;
}

Params& Params::int2_array(std::span<const std::int16_t> values) {
  values_.push_back({array_bytes(values, kInt2), kInt2Array, 1, false});
  return *this;
}
Params& Params::int4_array(std::span<const std::int32_t> values) {
  values_.push_back({array_bytes(values, kInt4), kInt4Array, 1, false});
  return *this;
}
Params& Params::int8_array(std::span<const std::int64_t> values) {
  values_.push_back({array_bytes(values, kInt8), kInt8Array, 1, false});
  return *this;
}
Params& Params::float8_array(std::span<const double> values) {
  values_.push_back({array_bytes(values, kFloat8), kFloat8Array, 1, false});
  return *this;
}
Params& Params::timestamptz_array(std::span<const TimeUs> values) {
  std::vector<std::int64_t> shifted;
  shifted.reserve(values.size());
  for (const TimeUs value : values) shifted.push_back(value - kPostgresEpochUs);
  values_.push_back({array_bytes(std::span<const std::int64_t>{shifted}, kTimestamptz), kTimestamptzArray, 1, false});
  return *this;
}
Params& Params::text_array(std::span<const std::string> values) {
  values_.push_back({array_bytes(values, kText), kTextArray, 1, false});
  return *this;
}
Params& Params::float8_array(std::span<const std::optional<double>> values) {
  values_.push_back({array_bytes(values, kFloat8), kFloat8Array, 1, false});
  return *this;
}
Params& Params::int2_array(std::span<const std::optional<std::int16_t>> values) {
  values_.push_back({array_bytes(values, kInt2), kInt2Array, 1, false});
  return *this;
}
Params& Params::text_array(std::span<const std::optional<std::string>> values) {
  values_.push_back({array_bytes(values, kText), kTextArray, 1, false});
  return *this;
}

}  // namespace millrace::postgres
