#include <gtest/gtest.h>

#include <millrace/rules/rule.hpp>

namespace millrace::rules {
namespace {

Rule good() {
  return {.tenant = "t",
          .rule = "hot",
          .version = 7,
          .metric = "temperature",
          .device_prefix = "meter-",
          .raise = "value > 30",
          .clear = "value < 28",
          .severity = Severity::kCritical,
          .description = "too hot",
          .enabled = true};
}

std::string fault(Rule rule) {
  const Status checked = validate(rule);
  return checked ? "fine" : checked.error().message;
}

TEST(Rule, ComesBackAsItWas) {
  const auto decoded = decode(encode(good()));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(*decoded, good());
  EXPECT_EQ(decode("\xff\xff").error().kind, ErrorKind::kCorrupt);
  EXPECT_EQ(decode("").error().kind, ErrorKind::kCorrupt);
}

TEST(Rule, IsCheckedFieldByField) {
  EXPECT_EQ(fault(good()), "fine");
  Rule rule = good();
  rule.rule = "a/b";
  EXPECT_NE(fault(rule).find("rule id"), std::string::npos);
  rule = good();
  rule.metric.clear();
  EXPECT_EQ(fault(rule), "metric is empty");
  rule.metric = std::string(129, 'm');
  EXPECT_EQ(fault(rule), "metric has at most 128 bytes, this one has 129");
  rule = good();
  rule.device_prefix = "a b";
  EXPECT_NE(fault(rule).find("device_prefix"), std::string::npos);
  rule = good();
  rule.raise = "value >> 3";
  EXPECT_EQ(fault(rule), "raise, column 8: expected value, a number, a text or \"(\"");
  rule = good();
  rule.clear = "valu < 3";
  EXPECT_NE(fault(rule).find("clear, column 1: \"valu\" is not known"), std::string::npos);
  rule.clear.clear();
  EXPECT_EQ(fault(rule), "fine");
  rule.raise.clear();
  EXPECT_EQ(fault(rule), "raise is empty");
  rule = good();
  rule.description = std::string(513, 'd');
  EXPECT_NE(fault(rule).find("description has at most 512 bytes"), std::string::npos);
  rule = good();
  rule.description = "two\nlines";
  EXPECT_NE(fault(rule).find("control characters"), std::string::npos);
}

}  // namespace
}  // namespace millrace::rules
