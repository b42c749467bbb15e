#include "copies/copy_keeper.hpp"

#include <gtest/gtest.h>

namespace millrace::writer {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

class CopyStateIsDue : public ::testing::Test {
 protected:
  [[nodiscard]] bool due_after(seconds since) const {
    return is_copy_state_due(state_, state_.saved.at + since, kInterval);
  }
  static constexpr seconds kInterval{30};
  PartitionState state_;
  void SetUp() override {
    state_.next_offset = 1'000;
    state_.saved = {900, 100 * 32, steady_clock::now()};
  }
};

TEST_F(CopyStateIsDue, AfterTheInterval) {
  EXPECT_FALSE(due_after(seconds{29}));
  EXPECT_TRUE(due_after(seconds{30}));
}

TEST_F(CopyStateIsDue, ALargeOneAfterAsManyRecordsOrTenIntervals) {
  state_.saved.bytes = 101 * 32;
  EXPECT_FALSE(due_after(seconds{299}));
  EXPECT_TRUE(due_after(seconds{300}));
  state_.next_offset = 1'001;
  EXPECT_TRUE(due_after(seconds{30}));
}

TEST_F(CopyStateIsDue, NeverWithoutNewRecordsOrOfAStoppedPartition) {
  state_.next_offset = 900;
  EXPECT_FALSE(due_after(seconds{100'000}));
  state_.next_offset = 1'000;
  state_.stopped = "the log was cut";
  EXPECT_FALSE(due_after(seconds{100'000}));
}

TEST_F(CopyStateIsDue, AtOnceWhereTheDatabaseHasNone) {
  state_.saved = {};
  EXPECT_TRUE(is_copy_state_due(state_, steady_clock::now(), kInterval));
  state_.next_offset = 0;
  EXPECT_FALSE(is_copy_state_due(state_, steady_clock::now(), kInterval)) << "of an empty partition there is none";
}

}  // namespace
}  // namespace millrace::writer
