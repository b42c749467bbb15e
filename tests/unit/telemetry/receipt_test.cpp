#include <gtest/gtest.h>

#include <millrace/telemetry/receipt.hpp>

namespace millrace::telemetry {
namespace {

TEST(Receipt, RoundTripsEachForm) {
  for (const char* text : {"3:4711", "0:0", "3:4711.1", "dead:3:12", "11:9223372036854775807"}) {
    const auto receipt = parse_receipt(text);
    ASSERT_TRUE(receipt.ok()) << text;
    EXPECT_EQ(receipt->to_string(), text);
  }
}

TEST(Receipt, RefusesEverythingElse) {
  for (const char* text : {"", "3", "3:", ":3", "3:4711.0", "3:4711.", "-1:3", "3:-1", "03:1", "3:01", "3:1x",
                           "alive:3:1", "99999999999:1", "3:9223372036854775808", "dead:", " 3:1"}) {
    EXPECT_FALSE(parse_receipt(text).ok()) << text;
  }
}

}  // namespace
}  // namespace millrace::telemetry
