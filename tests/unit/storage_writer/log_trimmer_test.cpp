#include "log/log_trimmer.hpp"

#include <gtest/gtest.h>

namespace millrace::writer {
namespace {

constexpr TimeUs kDay = 86'400 * kUsPerSecond;
constexpr TimeUs kNow = 20'000 * kDay;
constexpr std::chrono::hours kWeek{168};

LogNeed need() {
  LogNeed need;
  need.stored.next_offset = 1'000;
  need.stored.latest_offset = 990;
  need.stored.cluster_id = "c";
  need.stored.log_time = kNow;
  need.processed = 900;
  need.replay = telemetry_log::ReplayStart{.offset = 850, .generation = 0, .cluster_id = "c", .log_time = kNow};
  return need;
}

TEST(LogTrimmer, TheSlowestReaderHoldsTheLog) {
  EXPECT_EQ(first_needed(need(), 700), 700) << "age";
  EXPECT_EQ(first_needed(need(), 2'000), 850) << "the oldest open window";
  LogNeed one = need();
  one.replay->offset = 900;
  EXPECT_EQ(first_needed(one, 2'000), 899) << "the record that identifies the log";
  one = need();
  one.stored.latest_offset = 600;
  EXPECT_EQ(first_needed(one, 2'000), 600) << "what storage.latest lacks";
  one = need();
  one.stored.next_offset = 500;
  EXPECT_EQ(first_needed(one, 2'000), 499) << "what is not stored";
}

TEST(LogTrimmer, WithoutBothPositionsOfOneLogNothingGoes) {
  LogNeed one = need();
  one.processed = -1;
  EXPECT_EQ(first_needed(one, 700), std::nullopt);
  one = need();
  one.replay.reset();
  EXPECT_EQ(first_needed(one, 700), std::nullopt);
  one = need();
  one.replay->cluster_id = "other";
  EXPECT_EQ(first_needed(one, 700), std::nullopt);
  one = need();
  one.replay->generation = 1;
  EXPECT_EQ(first_needed(one, 700), std::nullopt);
}

TEST(LogTrimmer, TimeIsThatOfTheSlowestToo) {
  EXPECT_EQ(removable_before(need(), kNow, kWeek), kNow - 7 * kDay);
  LogNeed one = need();
  one.replay->log_time = kNow - 30 * kDay;
  EXPECT_EQ(removable_before(one, kNow, kWeek), kNow - 31 * kDay);
  one = need();
  one.stored.log_time = kNow - 8 * kDay;
  EXPECT_EQ(removable_before(one, kNow, kWeek), kNow - 9 * kDay);
  EXPECT_EQ(removable_before(need(), kNow, std::chrono::hours{1}), kNow - kDay)
      << "what is read again to recognise copies stays whatever is configured";
}

}  // namespace
}  // namespace millrace::writer
