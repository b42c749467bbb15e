#include "derived/derived_decode.hpp"

#include <functional>

#include <gtest/gtest.h>

#include <millrace/alerts/v1/alert.pb.h>
#include <millrace/stream/v1/window.pb.h>

namespace millrace::writer {
namespace {

stream::v1::WindowResult window() {
  stream::v1::WindowResult result;
  result.set_tenant("t");
  result.set_device("d");
  result.set_device_key(7);
  result.set_metric("power");
  result.set_start_us(-5);
  result.set_size_us(60);
  result.set_revision(2);
  result.set_final(true);
  result.set_count(3);
  result.set_min(-1);
  result.set_max(9);
  result.set_mean(4);
  result.set_last(8);
  result.set_last_time_us(50);
  return result;
}

alerts::v1::Alert alert() {
  alerts::v1::Alert result;
  result.set_alert_key("t/hot/d/power");
  result.set_alert_id("0123456789ABCDEF0123456789abcdef");
  result.set_event_number(4);
  result.set_state(alerts::v1::STATE_RAISED);
  result.set_tenant("t");
  result.set_rule("hot");
  result.set_device("d");
  result.set_metric("power");
  result.set_severity(rules::v1::SEVERITY_WARNING);
  result.set_raised_at_us(123);
  return result;
}

TEST(WindowOf, TakesEveryField) {
  const auto row = window_of(window().SerializeAsString());
  ASSERT_TRUE(row.ok()) << row.error().message;
  EXPECT_EQ(row->tenant, "t");
  EXPECT_EQ(row->metric, "power");
  EXPECT_EQ(row->device, 7);
  EXPECT_EQ(row->start, -5);
  EXPECT_EQ(row->size_us, 60);
  EXPECT_EQ(row->count, 3);
  EXPECT_EQ(row->min, -1);
  EXPECT_EQ(row->max, 9);
  EXPECT_EQ(row->mean, 4);
  EXPECT_EQ(row->last, 8);
  EXPECT_EQ(row->last_time, 50);
  EXPECT_EQ(row->revision, 2);
  EXPECT_TRUE(row->is_final);
  EXPECT_FALSE(row->approximate);
}

TEST(WindowOf, RefusesWhatTheDatabaseWouldRefuse) {
  const std::vector<std::pair<const char*, std::function<void(stream::v1::WindowResult&)>>> faults{
      {"tenant", [](auto& w) { w.set_tenant("a/b"); }},
      {"metric", [](auto& w) { w.set_metric(""); }},
      {"metric", [](auto& w) { w.set_metric(std::string("a\0b", 3)); }},
      {"metric", [](auto& w) { w.set_metric(std::string(129, 'x')); }},
      {"device_key", [](auto& w) { w.set_device_key(0); }},
      {"start_us", [](auto& w) { w.set_start_us(std::numeric_limits<std::int64_t>::max()); }},
      {"last_time_us", [](auto& w) { w.set_last_time_us(std::numeric_limits<std::int64_t>::min()); }},
      {"size_us", [](auto& w) { w.set_size_us(0); }},
      {"revision", [](auto& w) { w.set_revision(0); }},
      {"count", [](auto& w) { w.set_count(0); }}};
  for (const auto& [what, spoil] : faults) {
    auto spoilt = window();
    spoil(spoilt);
    const auto row = window_of(spoilt.SerializeAsString());
    ASSERT_FALSE(row.ok()) << what;
    EXPECT_EQ(row.error().kind, ErrorKind::kInvalid);
    EXPECT_NE(row.error().message.find(what), std::string::npos) << row.error().message;
  }
  EXPECT_FALSE(window_of("\xff\xff").ok());
  EXPECT_FALSE(window_of("").ok());
}

TEST(AlertOf, TakesWhatIsAskedFor) {
  auto row = alert_of(alert().SerializeAsString());
  ASSERT_TRUE(row.ok()) << row.error().message;
  EXPECT_EQ(row->alert_id, "0123456789abcdef0123456789abcdef") << "one spelling, for page tokens";
  EXPECT_EQ(row->event_number, 4);
  EXPECT_EQ(row->raised_at, 123);
  EXPECT_EQ(row->severity, 2);
  EXPECT_FALSE(row->cleared_at);
  auto cleared = alert();
  cleared.set_state(alerts::v1::STATE_CLEARED);
  cleared.set_cleared_at_us(456);
  row = alert_of(cleared.SerializeAsString());
  ASSERT_TRUE(row.ok());
  EXPECT_EQ(row->cleared_at, 456);
}

TEST(AlertOf, RefusesWhatTheDatabaseWouldRefuse) {
  const std::vector<std::pair<const char*, std::function<void(alerts::v1::Alert&)>>> faults{
      {"alert_key", [](auto& a) { a.set_alert_key(""); }},
      {"alert_key", [](auto& a) { a.set_alert_key(std::string(513, 'x')); }},
      {"alert_id", [](auto& a) { a.set_alert_id("0123"); }},
      {"alert_id", [](auto& a) { a.set_alert_id(std::string(32, 'g')); }},
      {"event_number", [](auto& a) { a.set_event_number(0); }},
      {"state", [](auto& a) { a.set_state(alerts::v1::STATE_UNSPECIFIED); }},
      {"severity", [](auto& a) { a.set_severity(static_cast<rules::v1::Severity>(9)); }},
      {"rule", [](auto& a) { a.set_rule(""); }},
      {"description", [](auto& a) { a.set_description(std::string(1, '\0')); }},
      {"raised_at_us", [](auto& a) { a.set_raised_at_us(std::numeric_limits<std::int64_t>::max()); }}};
  for (const auto& [what, spoil] : faults) {
    auto spoilt = alert();
    spoil(spoilt);
    const auto row = alert_of(spoilt.SerializeAsString());
    ASSERT_FALSE(row.ok()) << what;
    EXPECT_NE(row.error().message.find(what), std::string::npos) << row.error().message;
  }
}

}  // namespace
}  // namespace millrace::writer
