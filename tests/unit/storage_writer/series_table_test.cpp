#include "store/series_table.hpp"

#include <gtest/gtest.h>

namespace millrace::writer {
namespace {

TEST(SeriesTable, KeepsTheNewestUsableValueAndTheGreatestTime) {
  SeriesTable table(10);
  table.offer({1, 1}, 0, 100, {Kind::kNumber, 1, {}}, true);
  table.offer({1, 1}, 0, 90, {Kind::kNumber, 2, {}}, true);
  table.offer({1, 1}, 0, 500, {Kind::kNumber, 3, {}}, false);
  table.offer({1, 1}, 0, 100, {Kind::kNumber, 4, {}}, true);
  const auto pending = table.pending();
  ASSERT_EQ(pending.size(), 1U);
  EXPECT_EQ(pending[0].time, 100);
  EXPECT_EQ(pending[0].cell.number, 4) << "at equal times the later log position wins";
  EXPECT_EQ(pending[0].max_time, 500);
}

TEST(SeriesTable, TrimKeepsWhatLatestLacks) {
  SeriesTable table(4);
  for (int i = 0; i < 20; ++i) table.learn({i, 1}, 0, 10);
  table.offer({3, 1}, 0, 20, {}, true);
  table.raise({3, 1}, 20);
  table.trim();
  EXPECT_LE(table.size(), 4U);
  EXPECT_EQ(table.max_time({3, 1}), 20);
}

}  // namespace
}  // namespace millrace::writer
