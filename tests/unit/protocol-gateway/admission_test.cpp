#include "io/admission.hpp"

#include <gtest/gtest.h>

#include "io/heap_trim.hpp"

namespace millrace::gateway {
namespace {

TEST(TrimRule, GivesBackWhatABurstLeftAndNoMoreThanOnce) {
  TrimRule rule(100);
  EXPECT_FALSE(rule.look(99)) << "not worth it";
  EXPECT_TRUE(rule.look(150));
  EXPECT_FALSE(rule.look(150)) << "what was given back still counts as free";
  EXPECT_FALSE(rule.look(60)) << "used again";
  EXPECT_FALSE(rule.look(159));
  EXPECT_TRUE(rule.look(160)) << "and freed again";
  EXPECT_FALSE(rule.look(200));
}

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Admission, TakesATenthOfASecondAtOnceAndThenTheRate) {
  Admission admission(100);
  Admission::Clock::time_point now{seconds(1000)};
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(admission.wait(now), Admission::Clock::duration::zero()) << i;
    admission.take();
  }
  EXPECT_EQ(admission.wait(now), milliseconds(10));
  now += milliseconds(10);
  EXPECT_EQ(admission.wait(now), Admission::Clock::duration::zero());
  admission.take();
  EXPECT_GT(admission.wait(now), Admission::Clock::duration::zero());
  now += seconds(60);
  int taken = 0;
  for (; admission.wait(now) == Admission::Clock::duration::zero(); ++taken) admission.take();
  EXPECT_EQ(taken, 10) << "rest does not add up";
}

TEST(Admission, WaitsForWhatWasTakenTogether) {
  Admission admission(100);
  const Admission::Clock::time_point now{seconds(1000)};
  static_cast<void>(admission.wait(now));
  for (int i = 0; i < 20; ++i) admission.take();
  EXPECT_EQ(admission.wait(now), milliseconds(110));
}

TEST(Admission, ZeroIsNoLimit) {
  Admission admission(0);
  for (int i = 0; i < 1000; ++i) admission.take();
  EXPECT_EQ(admission.wait(Admission::Clock::time_point{seconds(1)}), Admission::Clock::duration::zero());
}

}  // namespace
}  // namespace millrace::gateway
