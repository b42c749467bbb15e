#include <gtest/gtest.h>

#include <millrace/postgres/copy.hpp>

namespace millrace::postgres {
namespace {

std::string bytes(std::initializer_list<int> values) {
  std::string out;
  for (const int value : values) out += static_cast<char>(value);
  return out;
}

TEST(CopyEncoder, WritesTheBinaryFormat) {
  CopyEncoder encoder;
  encoder.begin_row(4);
  encoder.int4(-2);
  encoder.null();
  encoder.text("ab");
  encoder.timestamptz(kPostgresEpochUs + 1);
  encoder.finish();
  std::string expected("PGCOPY\n\377\r\n\0", 11);
  expected += std::string(8, '\0');
  expected += bytes({0, 4, 0, 0, 0, 4, 255, 255, 255, 254, 255, 255, 255, 255, 0, 0, 0, 2, 'a', 'b'});
  expected += bytes({0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1, 255, 255});
  EXPECT_EQ(encoder.bytes(), expected);
  EXPECT_EQ(encoder.rows(), 1U);
  encoder.clear();
  EXPECT_EQ(encoder.bytes().size(), 19U);
}

}  // namespace
}  // namespace millrace::postgres
