#include <bit>
#include <cmath>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include <millrace/storage_schema/segment.hpp>

namespace millrace::storage_schema {
namespace {

using Field = std::optional<std::string>;

template <typename T>
std::string big_endian(T value) {
  std::string bytes;
  for (int shift = static_cast<int>(sizeof(T)) * 8 - 8; shift >= 0; shift -= 8)
    bytes += static_cast<char>(static_cast<std::uint64_t>(value) >> static_cast<unsigned>(shift));
  return bytes;
}

/// An array as PostgreSQL sends it; an empty optional is NULL.
template <typename T>
Field array(const std::vector<std::optional<T>>& values) {
  std::string bytes = big_endian<std::int32_t>(1) + big_endian<std::int32_t>(0) + big_endian<std::int32_t>(23) +
                      big_endian(static_cast<std::int32_t>(values.size())) + big_endian<std::int32_t>(1);
  for (const auto& value : values) {
    bytes += big_endian(value ? static_cast<std::int32_t>(sizeof(T)) : -1);
    if (value) bytes += big_endian(*value);
  }
  return bytes;
}

Field doubles(const std::vector<double>& values) {
  std::vector<std::optional<std::uint64_t>> bits;
  for (const double value : values) bits.emplace_back(std::bit_cast<std::uint64_t>(value));
  return array(bits);
}

struct Columns {
  std::int32_t n = 3;
  Field scale = std::nullopt;
  Field step = std::nullopt;
  Field t4 = std::nullopt;
  Field t8 = std::nullopt;
  Field v2 = std::nullopt;
  Field v4 = std::nullopt;
  Field v8 = std::nullopt;
  Field untimed_at = std::nullopt;
};

Result<std::vector<PackedNumber>> unpacked(const Columns& columns, bool untimed = false) {
  std::string row = big_endian<std::int16_t>(9);
  for (const Field& field : {Field(big_endian(columns.n)), columns.scale, columns.step, columns.t4, columns.t8,
                             columns.v2, columns.v4, columns.v8, columns.untimed_at}) {
    row += big_endian(field ? static_cast<std::int32_t>(field->size()) : -1) + field.value_or("");
  }
  postgres::CopyFields fields;
  EXPECT_TRUE(fields.parse(row));
  std::vector<PackedNumber> numbers;
  const Status done = unpack(1'000, untimed, fields, 0, numbers);
  if (!done.ok()) return done.error();
  return numbers;
}

TEST(Segment, AtASteadyPaceWithDecimals) {
  const auto numbers = unpacked({.scale = big_endian<std::int16_t>(10),
                                 .step = big_endian<std::int64_t>(500),
                                 .v2 = array<std::int16_t>({213, -5, 0})});
  ASSERT_TRUE(numbers.ok());
  EXPECT_EQ(*numbers, (std::vector<PackedNumber>{{1'000, 21.3, false}, {1'500, -0.5, false}, {2'000, 0, false}}));
}

TEST(Segment, MillisecondsAndWideDecimalsOfThePlatformsTimes) {
  const auto numbers = unpacked({.scale = big_endian<std::int16_t>(1000),
                                 .t4 = array<std::int32_t>({0, 7, 86'399'999}),
                                 .v4 = array<std::int32_t>({1, 2'000'000'000, -1'500})},
                                true);
  ASSERT_TRUE(numbers.ok());
  EXPECT_EQ(*numbers,
            (std::vector<PackedNumber>{{1'000, 0.001, true}, {8'000, 2'000'000, true}, {86'400'000'000, -1.5, true}}));
}

TEST(Segment, MicrosecondsAndDoublesOfMixedOrigin) {
  const auto numbers = unpacked({.t8 = array<std::int64_t>({0, 1, 86'399'000'001}),
                                 .v8 = doubles({1e300, -0.0, 0.1}),
                                 .untimed_at = array<std::uint8_t>({std::nullopt, 1, std::nullopt})});
  ASSERT_TRUE(numbers.ok());
  EXPECT_EQ(*numbers,
            (std::vector<PackedNumber>{{1'000, 1e300, false}, {1'001, -0.0, true}, {86'399'001'001, 0.1, false}}));
  EXPECT_TRUE(std::signbit((*numbers)[1].value));
}

TEST(Segment, ColumnsThatContradictEachOtherAreCorrupt) {
  const Field step = big_endian<std::int64_t>(1);
  const std::vector<Columns> wrong{
      {.step = step},                                                               // no values
      {.v8 = doubles({1, 2, 3})},                                                   // no times
      {.step = step, .v8 = doubles({1, 2})},                                        // one value less than points
      {.step = step, .v2 = array<std::int16_t>({1, 2, 3})},                         // decimals without a scale
      {.n = 0, .step = step, .v8 = doubles({})},                                    // a segment of nothing
      {.t4 = array<std::int32_t>({0, std::nullopt, 2}), .v8 = doubles({1, 2, 3})},  // a point without a time
      {.t4 = Field("short"), .v8 = doubles({1, 2, 3})},                             // no array
  };
  for (std::size_t i = 0; i < wrong.size(); ++i) {
    const auto numbers = unpacked(wrong[i]);
    ASSERT_FALSE(numbers.ok()) << i;
    EXPECT_EQ(numbers.error().kind, ErrorKind::kCorrupt) << i;
  }
}

}  // namespace
}  // namespace millrace::storage_schema
