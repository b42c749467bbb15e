#include <gtest/gtest.h>

#include <millrace/storage_schema/log_position.hpp>

namespace millrace::storage_schema {
namespace {

using Before = LogEvidence::Before;

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

TEST(PlanBreak, SaysWhereToGoOnAndWhatIsLost) {
  struct Case {
    const char* what;
    LogEvidence evidence;
    std::int64_t lost_to;
    std::int64_t resume;
  };
  constexpr std::int64_t kAll = LogBreak::kEverything;
  // The row's position is 50 in all of them.
  const Case cases[] = {
      {"cut at 30, nothing new", {{0, 30}, true, Before::kGone, {}, {}}, kAll, 30},
      {"cut at 30, 40 newer ones since", {{0, 70}, true, Before::kOther, 50, 30}, kAll, 30},
      {"replaced by a longer log of old records: nothing is skipped",
       {{0, 90}, true, Before::kOther, 50, 80},
       kAll,
       50},
      {"the broker's clock was set back: nothing is skipped", {{0, 90}, true, Before::kOther, 50, {}}, kAll, 50},
      {"deleted unread", {{80, 90}, true, Before::kGone, 80, {}}, 80, 80},
      {"a hole", {{0, 90}, true, Before::kSame, 60, 60}, 60, 60},
      {"another cluster with the same log", {{0, 90}, false, Before::kSame, 50, 50}, 50, 50},
      {"another cluster with a log of its own", {{0, 90}, false, Before::kOther, 50, 0}, kAll, 0},
      {"another cluster, shorter", {{0, 10}, false, Before::kGone, {}, 0}, kAll, 0},
      {"another cluster, the record before is gone", {{50, 90}, false, Before::kGone, 50, 50}, kAll, 50},
      {"an empty log", {{0, 0}, true, Before::kGone, {}, {}}, kAll, 0},
  };
  for (const Case& one : cases) {
    const auto plan = plan_break(row_at(50), one.evidence);
    ASSERT_TRUE(plan.has_value()) << one.what;
    EXPECT_EQ(plan->lost_from, 50) << one.what;
    EXPECT_EQ(plan->lost_to, one.lost_to) << one.what;
    EXPECT_EQ(plan->resume, one.resume) << one.what;
  }
}

TEST(PlanBreak, LeavesALogThatFitsAlone) {
  EXPECT_FALSE(plan_break(row_at(50), {{0, 90}, true, Before::kSame, 50, {}}).has_value());
  EXPECT_FALSE(plan_break(row_at(50), {{0, 50}, true, Before::kSame, {}, {}}).has_value()) << "nothing new";
  EXPECT_FALSE(plan_break(row_at(50), {{50, 90}, true, Before::kGone, 50, {}}).has_value()) << "retention";
}

}  // namespace
}  // namespace millrace::storage_schema
