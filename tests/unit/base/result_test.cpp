#include <string>

#include <gtest/gtest.h>

#include <millrace/base/backoff.hpp>
#include <millrace/base/result.hpp>

namespace millrace {
namespace {

TEST(Result, HoldsAValueOrAnError) {
  const Result<std::string> good{std::string("x")};
  EXPECT_TRUE(good.ok());
  EXPECT_EQ(*good, "x");
  const Result<std::string> bad{Error{ErrorKind::kInvalid, "why"}};
  EXPECT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().kind, ErrorKind::kInvalid);
  EXPECT_EQ(bad.error().message, "why");
}

TEST(Result, ValueOfAnErrorEndsTheProcess) {
  const Result<int> bad{Error{ErrorKind::kInvalid, "why"}};
  EXPECT_DEATH((void)*bad, "");
}

TEST(Backoff, StaysBetweenHalfTheFirstAndTheMost) {
  Backoff backoff(std::chrono::milliseconds{100}, std::chrono::milliseconds{1000});
  for (int i = 0; i < 200; ++i) {
    const auto delay = backoff.next();
    EXPECT_GE(delay.count(), 50);
    EXPECT_LE(delay.count(), 1000);
  }
  backoff.reset();
  EXPECT_LE(backoff.next().count(), 100);
}

}  // namespace
}  // namespace millrace
