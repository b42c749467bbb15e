#include <gtest/gtest.h>

#include <millrace/base/time.hpp>

namespace millrace {
namespace {

TEST(Time, ReadsRfc3339) {
  EXPECT_EQ(*parse_rfc3339("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(*parse_rfc3339("2016-07-01T00:00:00+02:00"), 1467324000'000000);
  EXPECT_EQ(*parse_rfc3339("2026-11-22 23:52:45.1234567z"), 1795391565'123456);
  EXPECT_EQ(*parse_rfc3339("1969-12-31T23:59:59.5Z"), -500000);
}

TEST(Time, RefusesWhatIsNotRfc3339) {
  for (const char* bad : {"", "2016-07-01", "2016-07-01T00:00:00", "2016-02-30T00:00:00Z", "2016-07-01T24:00:00Z",
                          "2016-07-01T00:00:00.Z", "2016-07-01T00:00:00Zx", "2016-07-01T00:00:00+2:00",
                          "2016-07-01T00:00:00+", "20160701T000000Z"}) {
    EXPECT_FALSE(parse_rfc3339(bad).ok()) << bad;
  }
}

TEST(Time, FormatsWithAsFewDigitsAsKeepTheValue) {
  EXPECT_EQ(format_rfc3339(0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(format_rfc3339(1795391565'120000), "2026-11-22T23:52:45.120Z");
  EXPECT_EQ(format_rfc3339(1795391565'120001), "2026-11-22T23:52:45.120001Z");
  EXPECT_EQ(format_rfc3339(-500000), "1969-12-31T23:59:59.500Z");
}

}  // namespace
}  // namespace millrace
