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

TEST(Contradiction, NamesWhatDoesNotFitAndTheCommand) {
  struct Case {
    const char* what;
    OffsetRow row;
    const char* cluster;
    kafka::Watermarks log;
    const char* expected;  // null: fits
  };
  const Case cases[] = {
      {"the position is inside", row_at(50), "c", {0, 100}, nullptr},
      {"the position is the end", row_at(100), "c", {0, 100}, nullptr},
      {"the position is the start", row_at(40), "c", {40, 100}, nullptr},
      {"the log was cut", row_at(101), "c", {0, 100}, "it was cut"},
      {"retention passed the position", row_at(39), "c", {40, 100}, "deleted unread"},
      {"another cluster", row_at(50), "d", {0, 100}, "Kafka cluster"},
  };
  for (const Case& one : cases) {
    const auto found = contradiction(3, one.row, one.cluster, one.log);
    ASSERT_EQ(found.has_value(), one.expected != nullptr) << one.what;
    if (!found) continue;
    EXPECT_NE(found->find(one.expected), std::string::npos) << *found;
    EXPECT_NE(found->find("millrace admin log"), std::string::npos) << *found;
  }
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
