#include <gtest/gtest.h>

#include <millrace/storage_schema/value.hpp>

namespace millrace::storage_schema {
namespace {

TEST(Cell, KeepsEveryValueExactly) {
  const telemetry::Value values[] = {
      1.5,       -0.1, std::int64_t{3}, std::int64_t{1} << 53, (std::int64_t{1} << 53) + 1,
      INT64_MIN, true, false,           std::string("text"),   telemetry::Json{"[1,2]"}};
  for (const telemetry::Value& value : values) {
    const auto back = value_of(cell_of(value), type_of(value));
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(*back, value);
  }
}

TEST(Cell, OrdinaryNumbersHaveNoKind) {
  EXPECT_EQ(cell_of(telemetry::Value{std::int64_t{1} << 53}).kind, Kind::kNumber);
  EXPECT_EQ(cell_of(telemetry::Value{(std::int64_t{1} << 53) + 1}).kind, Kind::kInteger);
}

}  // namespace
}  // namespace millrace::storage_schema
