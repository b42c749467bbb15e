#include <limits>

#include <gtest/gtest.h>

#include <millrace/archive_format/rows.hpp>

namespace millrace::archive_format {
namespace {

std::vector<Row> some_rows() {
  return {{{1, 2, -5}, 0, false, -0.0, ""},
          {{1, 2, 7}, 0, true, std::numeric_limits<double>::denorm_min(), ""},
          {{1, 3, 7}, 1, false, 0, "9007199254740993"},
          {{2, 1, std::numeric_limits<std::int64_t>::max()}, 2, false, 0, "true"},
          {{2, 2, 8}, 3, true, 0, ""},
          {{3, 1, 9}, 4, false, 0, R"({"a": "é"})"}};
}

RowBlock block_of(const std::vector<Row>& rows) {
  RowBlock block;
  for (const Row& row : rows) EXPECT_TRUE(block.add(row));
  return block;
}

TEST(RowBlock, ComesBackBitForBit) {
  const auto rows = some_rows();
  const auto back = RowBlock::decode(block_of(rows).encode());
  ASSERT_TRUE(back.ok());
  ASSERT_EQ(back->size(), rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) EXPECT_TRUE(same_row(back->at(i), rows[i])) << i;
}

TEST(RowBlock, RefusesEveryCutAndUnknownKinds) {
  const std::string whole = block_of(some_rows()).encode();
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(RowBlock::decode(std::string_view(whole).substr(0, size)).ok()) << size;
  std::string unknown = whole;
  unknown[4 + 6 * (4 + 4 + 8 + 8)] = 5;  // the first of the kinds
  EXPECT_FALSE(RowBlock::decode(unknown).ok());
  std::string many = whole;
  many[3] = '\x7f';  // 2^31 rows
  EXPECT_FALSE(RowBlock::decode(many).ok());
}

TEST(RowBlock, IsBounded) {
  RowBlock block;
  EXPECT_FALSE(block.add({{1, 1, 1}, 3, false, 0, std::string(RowBlock::kMostText + 1, 'x')}));
  EXPECT_TRUE(block.empty());
  EXPECT_TRUE(block.add({{1, 1, 1}, 3, false, 0, std::string(RowBlock::kFullBytes, 'x')}));
  EXPECT_TRUE(block.full());
}

TEST(SameRow, LooksAtEveryPart) {
  const auto rows = some_rows();
  for (std::size_t a = 0; a < rows.size(); ++a) {
    for (std::size_t b = 0; b < rows.size(); ++b) EXPECT_EQ(same_row(rows[a], rows[b]), a == b);
  }
  Row zero = rows[0];
  zero.number = 0.0;
  EXPECT_FALSE(same_row(zero, rows[0])) << "-0 and 0 are two values";
}

TEST(RowsHash, TellsEveryChangeApart) {
  RowsHash whole;
  whole.add(block_of(some_rows()));
  EXPECT_EQ(whole.rows(), 6);
  // The value is part of archived files: it never changes.
  EXPECT_EQ(whole.hex(), "d6a23ea4a1eb3b5e");
  for (std::size_t change = 0; change < some_rows().size(); ++change) {
    auto rows = some_rows();
    rows[change].key.time ^= 1;
    RowsHash other;
    other.add(block_of(rows));
    EXPECT_NE(other.value(), whole.value()) << change;
  }
  auto swapped = some_rows();
  std::swap(swapped[0], swapped[1]);
  RowsHash other;
  other.add(block_of(swapped));
  EXPECT_NE(other.value(), whole.value());
}

}  // namespace
}  // namespace millrace::archive_format
