#include <gtest/gtest.h>

#include <millrace/observability/metrics.hpp>

namespace millrace::observability {
namespace {

TEST(Metrics, ExposesWhatWasCounted) {
  Metrics metrics;
  const Counter accepted = metrics.counter("millrace_x_total", "Things.", {{"outcome", "accepted"}});
  accepted.add();
  metrics.counter("millrace_x_total", "Things.", {{"outcome", "accepted"}}).add(2);
  metrics.gauge("millrace_depth", "Depth.").set(7);
  metrics.histogram("millrace_y_seconds", "Time.", {0.1, 1}).observe(0.5);
  const std::string text = metrics.expose();
  EXPECT_NE(text.find("millrace_x_total{outcome=\"accepted\"} 3"), std::string::npos) << text;
  EXPECT_NE(text.find("millrace_depth 7"), std::string::npos);
  EXPECT_NE(text.find("millrace_y_seconds_bucket{le=\"1\"} 1"), std::string::npos);
  EXPECT_NE(text.find("# HELP millrace_x_total Things."), std::string::npos);
}

TEST(Metrics, RefreshesBeforeExposing) {
  Metrics metrics;
  const Gauge depth = metrics.gauge("millrace_depth", "Depth.");
  int calls = 0;
  metrics.on_collect([&] { depth.set(++calls); });
  EXPECT_NE(metrics.expose().find("millrace_depth 1"), std::string::npos);
  EXPECT_NE(metrics.expose().find("millrace_depth 2"), std::string::npos);
}

}  // namespace
}  // namespace millrace::observability
