#include "store/ledger.hpp"

#include <gtest/gtest.h>

namespace millrace::writer {
namespace {

constexpr TimeUs kHour = 3'600 * kUsPerSecond;
constexpr TimeUs kNoon = 500'000 * kHour;

Row row(std::int32_t partition, std::int64_t offset) {
  Row row;
  row.partition = partition;
  row.offset = offset;
  return row;
}

NewSample of(std::size_t source) {
  NewSample sample;
  sample.source = source;
  return sample;
}

TEST(Hours, AreCountedInLogTimeWithoutAGap) {
  Slice slice;
  Batch::count_hour(slice, 10, kNoon + 5);
  Batch::count_hour(slice, 11, kNoon + kHour - 1);
  Batch::count_hour(slice, 12, kNoon + kHour);
  Batch::count_hour(slice, 13, kNoon + 3 * kHour + 7);
  ASSERT_EQ(slice.hours.size(), 3U);
  EXPECT_EQ(slice.hours[0].hour, kNoon);
  EXPECT_EQ(slice.hours[0].begin, 10);
  EXPECT_EQ(slice.hours[0].end, 12);
  EXPECT_EQ(slice.hours[1].begin, 12);
  EXPECT_EQ(slice.hours[2].hour, kNoon + 3 * kHour);
  EXPECT_EQ(slice.hours[2].end, 14);
}

TEST(Ledger, CountsEveryRecordAndPointWhereItBelongs) {
  Batch batch;
  Slice& first = batch.slices[1];
  first.generation = 2;
  for (std::int64_t offset = 10; offset < 14; ++offset) {
    Batch::count_hour(first, offset, offset < 12 ? kNoon : kNoon + kHour);
  }
  first.copies = {{11, 3, 1}};
  DeadLetter whole;
  whole.offset = 13;
  DeadLetter points;
  points.offset = 12;
  points.points = {0, 4};
  first.dead = {whole, points};
  Slice& second = batch.slices[7];
  Batch::count_hour(second, 100, kNoon);
  batch.rows = {row(1, 10), row(1, 10), row(7, 100), row(1, 12), row(7, 100), row(7, 100)};
  Changes changes;
  changes.inserts = {of(0), of(2), of(4)};
  changes.replaced = {of(3)};
  const auto ledger = ledger_of(batch, changes);
  ASSERT_EQ(ledger.size(), 3U);

  EXPECT_EQ(ledger[0].partition, 1);
  EXPECT_EQ(ledger[0].generation, 2);
  EXPECT_EQ(ledger[0].hour, kNoon);
  EXPECT_EQ(ledger[0].records(), 2);
  EXPECT_EQ(ledger[0].copies, 1);
  EXPECT_EQ(ledger[0].points, 2);
  EXPECT_EQ(ledger[0].inserted, 1);

  EXPECT_EQ(ledger[1].hour, kNoon + kHour);
  EXPECT_EQ(ledger[1].records(), 2);
  EXPECT_EQ(ledger[1].dead_records, 1);
  EXPECT_EQ(ledger[1].points, 3) << "one row, and two that were buried";
  EXPECT_EQ(ledger[1].dead_points, 2);
  EXPECT_EQ(ledger[1].replaced, 1);

  EXPECT_EQ(ledger[2].partition, 7);
  EXPECT_EQ(ledger[2].records(), 1);
  EXPECT_EQ(ledger[2].points, 3);
  EXPECT_EQ(ledger[2].inserted, 2);
}

}  // namespace
}  // namespace millrace::writer
