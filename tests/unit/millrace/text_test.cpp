#include "text.hpp"

#include <charconv>
#include <cmath>
#include <limits>
#include <sstream>

#include <gtest/gtest.h>

#include "command_error.hpp"
#include "millrace/telemetry/v1/telemetry.pb.h"
#include "plot.hpp"

namespace millrace::cli {
namespace {

TEST(NumberText, IsShortAndReadsBackTheSame) {
  EXPECT_EQ(number_text(5), "5");
  EXPECT_EQ(number_text(100'000), "100000");
  EXPECT_EQ(number_text(0.1), "0.1");
  EXPECT_EQ(number_text(-0.0), "-0");
  EXPECT_EQ(number_text(1e300), "1e+300");
  for (const double value : {0.1 + 0.2, 1.0 / 3, 5e-324, std::numeric_limits<double>::max(), -123456.789, 1e15, 1e-5}) {
    const std::string text = number_text(value);
    double back = 0;
    std::from_chars(text.data(), text.data() + text.size(), back);
    EXPECT_EQ(back, value) << text;
  }
}

TEST(Shortened, CountsCharactersAndCutsNone) {
  EXPECT_EQ(shortened("", 3), "");
  EXPECT_EQ(shortened("abc", 3), "abc");
  EXPECT_EQ(shortened("abcd", 3), "abc\u2026");
  EXPECT_EQ(shortened("\u00e4\u00f6\u00fc", 3), "\u00e4\u00f6\u00fc");
  EXPECT_EQ(shortened("\u00e4\u00f6\u00fcx", 3), "\u00e4\u00f6\u00fc\u2026");
  EXPECT_EQ(shortened("\U0001F321\U0001F321", 1), "\U0001F321\u2026");
}

TEST(RoundedText, HasSixDecimalsOrDigitsAtMost) {
  EXPECT_EQ(rounded_text(470.11650000000003), "470.1165");
  EXPECT_EQ(rounded_text(-0.1 - 0.2), "-0.3");
  EXPECT_EQ(rounded_text(1.0 / 3), "0.333333");
  EXPECT_EQ(rounded_text(1.0 / 3000), "0.000333333");
  EXPECT_EQ(rounded_text(123456789.123456789), "123456789.123457");
  EXPECT_EQ(rounded_text(0.99999999999), "1");
  EXPECT_EQ(rounded_text(1e300 / 3), "3.33333e+299");
  for (const double value : {0.0, -0.0, 5.0, 21.5, 1e300, 100'000.0, 1e-5, 5e-324}) {
    EXPECT_EQ(rounded_text(value), number_text(value));
  }
}

TEST(ValueText, KeepsEveryKindExact) {
  telemetry::v1::Value value;
  value.set_int_value(std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(value_text(value), "-9223372036854775808");
  EXPECT_EQ(value_json(value), "-9223372036854775808");
  value.set_bool_value(true);
  EXPECT_EQ(value_json(value), "true");
  value.set_string_value("a \"b\"");
  EXPECT_EQ(value_text(value), "a \"b\"");
  EXPECT_EQ(value_json(value), R"("a \"b\"")");
  value.set_json_value("[1,2]");
  EXPECT_EQ(value_json(value), "[1,2]");
}

TEST(DurationText, ReadsBackTheSame) {
  EXPECT_EQ(duration_text(1'800'000'000), "30m");
  EXPECT_EQ(duration_text(5'400'000'000), "1h30m");
  EXPECT_EQ(duration_text(14 * 86'400'000'000), "14d");
  EXPECT_EQ(duration_text(1'000'001), "1s1us");
  EXPECT_EQ(duration_text(0), "0s");
  for (const std::int64_t us : {1LL, 999'999LL, 86'399'999'999LL, 31'536'000'000'000LL}) {
    EXPECT_EQ(parse_duration_us("--step", duration_text(us)), us);
  }
}

TEST(Printable, LeavesNothingThatSteersATerminal) {
  EXPECT_EQ(printable("a\x1b[2Jb\n"), "a\xEF\xBF\xBD[2Jb\xEF\xBF\xBD");
  EXPECT_EQ(printable("gr\xC3\xBC n"), "gr\xC3\xBC n");
}

TEST(TimeArgument, TakesTimesDatesAndDurationsAgo) {
  constexpr TimeUs kNow = 1'000'000'000'000'000;
  EXPECT_EQ(parse_time_argument("--from", "now", kNow), kNow);
  EXPECT_EQ(parse_time_argument("--from", "1h30m", kNow), kNow - 5'400 * kUsPerSecond);
  EXPECT_EQ(parse_time_argument("--from", "-2d", kNow), kNow - 2 * 86'400 * kUsPerSecond);
  EXPECT_EQ(parse_time_argument("--from", "1970-01-01T00:00:01.5Z", kNow), 1'500'000);
  EXPECT_EQ(parse_time_argument("--from", "1970-01-01T01:00:00+01:00", kNow), 0);
  EXPECT_EQ(parse_time_argument("--from", "1970-01-01T00:00:01", kNow), kUsPerSecond);
  EXPECT_EQ(parse_time_argument("--from", "1970-01-02", kNow), 86'400 * kUsPerSecond);
  EXPECT_THROW(static_cast<void>(parse_time_argument("--from", "yesterday", kNow)), CommandError);
  EXPECT_THROW(static_cast<void>(parse_duration_us("--step", "0s")), CommandError);
  EXPECT_THROW(static_cast<void>(parse_duration_us("--step", "99999999999999w")), CommandError);
  EXPECT_EQ(parse_duration_us("--step", "500ms"), 500'000);
}

TEST(Plot, ShowsThePeakOfEveryColumn) {
  std::ostringstream out;
  draw_plot(out, {.title = "t", .from_us = 0, .to_us = 100, .width = 10, .height = 4}, {{0, 0, 0}, {50, 0, 10}});
  const std::string text = out.str();
  EXPECT_NE(text.find("10 ┤"), std::string::npos) << text;
  EXPECT_NE(text.find("⡇"), std::string::npos) << "a full column of dots in\n" << text;
  std::ostringstream nothing;
  draw_plot(nothing, {.title = "t", .from_us = 0, .to_us = 100}, {});
  EXPECT_NE(nothing.str().find("no numbers between"), std::string::npos);
}

TEST(ExpiryArgument, LiesInTheFuture) {
  constexpr TimeUs kNow = 1'800'000'000'000'000;
  EXPECT_EQ(parse_expiry_argument("--expires", "1h", kNow), kNow + 3'600 * kUsPerSecond);
  EXPECT_EQ(parse_expiry_argument("--expires", "2030-01-01", kNow), 1'893'456'000'000'000);
  for (const char* over : {"2020-01-01", "now", "-1h", "yesterday"}) {
    EXPECT_THROW(static_cast<void>(parse_expiry_argument("--expires", over, kNow)), CommandError) << over;
  }
}

}  // namespace
}  // namespace millrace::cli
