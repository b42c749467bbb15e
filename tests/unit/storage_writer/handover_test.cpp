#include "batch/handover.hpp"

#include <thread>

#include <gtest/gtest.h>

namespace millrace::writer {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds kLong{90};

TEST(Handover, WaitingEndsWhenTheOtherSideWantsWork) {
  Handover handover;
  std::jthread committer([&] { static_cast<void>(handover.take(steady_clock::now() + kLong)); });
  handover.wait_hungry(steady_clock::now() + kLong);
  EXPECT_TRUE(handover.is_hungry());
  handover.put(Batch{});
  EXPECT_FALSE(handover.is_hungry());
}

TEST(Handover, WaitingEndsWithAResetRequest) {
  Handover handover;
  std::jthread committer([&] { handover.request_reset("fenced"); });
  const auto begun = steady_clock::now();
  handover.wait_hungry(begun + kLong);
  EXPECT_LT(steady_clock::now() - begun, kLong);
  EXPECT_FALSE(handover.is_hungry());
  EXPECT_EQ(handover.take_reset_request(), "fenced");
}

TEST(Handover, WaitingEndsWithTheService) {
  Handover handover;
  std::jthread other([&] { handover.stop(); });
  const auto begun = steady_clock::now();
  handover.wait_hungry(begun + kLong);
  EXPECT_LT(steady_clock::now() - begun, kLong);
}

TEST(Handover, WaitingEndsAtItsDeadline) {
  Handover handover;
  handover.wait_hungry(steady_clock::now());
  EXPECT_FALSE(handover.is_hungry());
}

}  // namespace
}  // namespace millrace::writer
