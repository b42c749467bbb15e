#include "log/partition_state.hpp"

#include <gtest/gtest.h>

namespace millrace::writer {
namespace {

OffsetRow row_at(std::int64_t next) {
  OffsetRow row;
  row.next_offset = row.latest_offset = next;
  row.cluster_id = "c";
  row.last = RecordMark{};
  return row;
}

TEST(ReplayBegin, CoversLatestTheMarkAndTheWindowWithinTheLog) {
  OffsetRow row = row_at(1000);
  EXPECT_EQ(replay_begin(row, {0, 2000}, 400, 10'000), 400) << "the window";
  EXPECT_EQ(replay_begin(row, {0, 2000}, 400, 100), 900) << "bounded in records";
  EXPECT_EQ(replay_begin(row, {950, 2000}, 400, 10'000), 950) << "not before the log";
  EXPECT_EQ(replay_begin(row, {0, 2000}, 1000, 10'000), 999) << "the record that identifies the log";
  row.latest_offset = 200;
  EXPECT_EQ(replay_begin(row, {0, 2000}, 400, 100), 200) << "what latest lacks, whatever the bound";
}

}  // namespace
}  // namespace millrace::writer
