#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <millrace/observability/log.hpp>
#include <millrace/observability/trace.hpp>

namespace millrace::observability {
namespace {

TEST(Log, ALineIsOneJsonObject) {
  init_logging({"svc", Level::kInfo});
  ::testing::internal::CaptureStderr();
  Logger("lib").warn("it \"broke\"\n", {{"n", 3}, {"ok", false}, {"who", "a\\b\x01"}, {"x", 0.5}});
  Logger("lib").debug("not shown");
  const std::string text = ::testing::internal::GetCapturedStderr();
  const auto line = nlohmann::json::parse(text);
  EXPECT_EQ(line["level"], "warn");
  EXPECT_EQ(line["service"], "svc");
  EXPECT_EQ(line["logger"], "lib");
  EXPECT_EQ(line["msg"], "it \"broke\"\n");
  EXPECT_EQ(line["n"], 3);
  EXPECT_EQ(line["ok"], false);
  EXPECT_EQ(line["who"], "a\\b\x01");
  EXPECT_EQ(line["x"], 0.5);
}

TEST(LogLimiter, LetsOneThroughAndCountsTheRest) {
  LogLimiter limiter;
  EXPECT_EQ(limiter.admit(), 0);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(limiter.admit(), -1);
}

TEST(Trace, TraceparentRules) {
  EXPECT_TRUE(is_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
  EXPECT_TRUE(is_traceparent(new_traceparent()));
  EXPECT_EQ(trace_id("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), "4bf92f3577b34da6a3ce929d0e0e4736");
  for (const char* bad : {"", "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
                          "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
                          "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                          "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"}) {
    EXPECT_FALSE(is_traceparent(bad)) << bad;
  }
}

}  // namespace
}  // namespace millrace::observability
