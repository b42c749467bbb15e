#include <gtest/gtest.h>

#include "read/progress.hpp"

namespace millrace::query_api {
namespace {

TEST(AsOf, IsUnknownUntilAPositionIsFlushed) {
  AsOf as_of;
  as_of.note({.next_offset = 10, .latest_offset = 5, .log_time = 1'000});
  EXPECT_EQ(as_of.value(), 0);
  as_of.note({.next_offset = 20, .latest_offset = 10, .log_time = 2'000});
  EXPECT_EQ(as_of.value(), 1'000);
}

TEST(AsOf, NeverSaysMoreThanWasFlushed) {
  AsOf as_of;
  as_of.note({.next_offset = 10, .latest_offset = 10, .log_time = 1'000});
  EXPECT_EQ(as_of.value(), 1'000);
  as_of.note({.next_offset = 30, .latest_offset = 29, .log_time = 3'000});
  EXPECT_EQ(as_of.value(), 1'000);
  as_of.note({.next_offset = 40, .latest_offset = 35, .log_time = 4'000});
  EXPECT_EQ(as_of.value(), 3'000);
}

}  // namespace
}  // namespace millrace::query_api
