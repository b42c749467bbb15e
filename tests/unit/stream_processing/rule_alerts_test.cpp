#include <gtest/gtest.h>

#include "task_harness.hpp"

namespace millrace::stream {
namespace {

using test::kMinute;
using test::kNoon;
using test::point;

class RuleAlertsTest : public ::testing::Test {
 protected:
  void use(std::vector<rules::Rule> rules) { task_.set_book(test::book_of(std::move(rules), ++book_), out_); }
  void send(std::int32_t device, telemetry::Value value, TimeUs time, const std::string& metric = "v") {
    telemetry::Batch batch = test::message(device, {point(metric, std::move(value), time)});
    batch.ingest_time = time;
    task_.process(next_++, std::max(time, kNoon), batch, &out_);
  }

  test::Collected out_;
  PartitionTask task_{3, 1, {}, test::book_of({})};
  std::int64_t next_ = 100;
  std::uint64_t book_ = 1;
};

TEST_F(RuleAlertsTest, RaisesAndClearsWithHysteresis) {
  use({test::rule("hot", "v", "value > 30", "value < 28")});
  const std::vector<double> values{20, 31, 32, 29, 31, 27, 29, 30.5, 27.9};
  for (std::size_t i = 0; i < values.size(); ++i) send(1, values[i], kNoon + static_cast<TimeUs>(i) * kUsPerSecond);
  ASSERT_EQ(out_.alerts.size(), 4U);
  EXPECT_EQ(out_.alerts[0].state, Alert::State::kRaised);
  EXPECT_EQ(out_.alerts[0].raised_at, kNoon + kUsPerSecond);
  EXPECT_EQ(out_.alerts[0].alert_key, "t/hot/d1/v");
  EXPECT_EQ(out_.alerts[0].raise_receipt, "3:101.1");
  EXPECT_EQ(out_.alerts[1].state, Alert::State::kCleared);
  EXPECT_EQ(out_.alerts[1].cleared_at, kNoon + 5 * kUsPerSecond);
  EXPECT_EQ(out_.alerts[1].alert_id, out_.alerts[0].alert_id);
  EXPECT_EQ(std::get<double>(*out_.alerts[1].clear_value), 27.0);
  EXPECT_EQ(out_.alerts[2].raised_at, kNoon + 7 * kUsPerSecond);
  EXPECT_NE(out_.alerts[2].alert_id, out_.alerts[0].alert_id);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(out_.alerts[i].event_number, static_cast<std::int64_t>(i + 1));
  EXPECT_EQ(task_.open_alerts(), 0U);
}

TEST_F(RuleAlertsTest, WithoutAClearConditionTheRaiseConditionDecides) {
  use({test::rule("hot", "v", "value > 30")});
  send(1, 31.0, kNoon);
  send(1, std::string("broken"), kNoon + 1);
  EXPECT_EQ(out_.alerts.size(), 1U) << "a reading that cannot be asked about clears nothing";
  send(1, 30.0, kNoon + 2);
  ASSERT_EQ(out_.alerts.size(), 2U);
  EXPECT_EQ(out_.alerts[1].clear_expression, "!(value > 30)");
}

TEST_F(RuleAlertsTest, EachDeviceHasItsOwnAlertAndPrefixesSelect) {
  rules::Rule rule = test::rule("hot", "v", "value > 30");
  rule.device_prefix = "d1";
  use({rule});
  send(1, 31.0, kNoon);
  send(11, 31.0, kNoon);
  send(2, 31.0, kNoon);
  send(1, 31.0, kNoon, "w");
  ASSERT_EQ(out_.alerts.size(), 2U);
  EXPECT_EQ(out_.alerts[0].device, "d1");
  EXPECT_EQ(out_.alerts[1].device, "d11");
}

TEST_F(RuleAlertsTest, AnOlderReadingChangesNothing) {
  use({test::rule("hot", "v", "value > 30")});
  send(1, 31.0, kNoon + 10);
  send(1, 5.0, kNoon + 9);
  send(1, 5.0, kNoon + 10);
  EXPECT_EQ(out_.alerts.size(), 1U);
  send(1, 5.0, kNoon + 11);
  EXPECT_EQ(out_.alerts.size(), 2U);
}

TEST_F(RuleAlertsTest, ADeletedRuleEndsItsAlerts) {
  use({test::rule("hot", "v", "value > 30"), test::rule("warm", "v", "value > 20")});
  send(1, 31.0, kNoon);
  send(2, 31.0, kNoon);
  ASSERT_EQ(out_.alerts.size(), 4U);
  use({test::rule("warm", "v", "value > 25")});
  ASSERT_EQ(out_.alerts.size(), 6U);
  EXPECT_EQ(out_.alerts[4].alert_key, "t/hot/d1/v");
  EXPECT_EQ(out_.alerts[4].clear_reason, Alert::ClearReason::kRule);
  EXPECT_EQ(out_.alerts[5].alert_key, "t/hot/d2/v");
  // The other rule was edited: its alerts stay open and the new condition decides.
  send(1, 24.0, kNoon + 1);
  ASSERT_EQ(out_.alerts.size(), 7U);
  EXPECT_EQ(out_.alerts[6].alert_key, "t/warm/d1/v");
}

TEST_F(RuleAlertsTest, ARuleThatComesBackGoesOnNumbering) {
  use({test::rule("hot", "v", "value > 30")});
  send(1, 31.0, kNoon);
  use({});
  use({test::rule("hot", "v", "value > 30")});
  send(1, 32.0, kNoon + 1);
  ASSERT_EQ(out_.alerts.size(), 3U);
  EXPECT_EQ(out_.alerts[2].event_number, 3);
}

TEST_F(RuleAlertsTest, ALateReadingIsNotLookedAt) {
  use({test::rule("hot", "v", "value > 30")});
  send(1, 1.0, kNoon + 10 * kMinute);
  send(1, 31.0, kNoon, "v");
  send(1, 31.0, kNoon, "w");
  EXPECT_TRUE(out_.alerts.empty());
}

TEST_F(RuleAlertsTest, TextsAndBooleansAreLookedAtToo) {
  use({test::rule("fault", "s", "value == 'fault'"), test::rule("open", "b", "value == true")});
  send(1, std::string("ok"), kNoon, "s");
  send(1, std::string("fault"), kNoon + 1, "s");
  send(1, true, kNoon + 1, "b");
  ASSERT_EQ(out_.alerts.size(), 2U);
  EXPECT_EQ(std::get<std::string>(*out_.alerts[0].raise_value), "fault");
}

TEST_F(RuleAlertsTest, OneMessageCanRaiseSoMuchAndNoMore) {
  use({test::rule("flap", "v", "value > 0")});
  std::vector<telemetry::Point> points;
  for (int i = 0; i < 4000; ++i) points.push_back(point("v", i % 2 == 0 ? 1.0 : -1.0, kNoon + i));
  telemetry::Batch batch = test::message(1, std::move(points));
  task_.process(next_++, kNoon, batch, &out_);
  EXPECT_LE(out_.alerts.size(), static_cast<std::size_t>(kRecordBudget / kEventCost));
  EXPECT_GT(out_.alerts.size(), 900U);
  EXPECT_GT(task_.counts().unruled, 2900U);
  // The next message has a budget of its own, and goes on from the last time of this one.
  const std::size_t before = out_.alerts.size();
  const bool open = task_.open_alerts() == 1;
  send(1, open ? -1.0 : 1.0, kNoon + 3999);
  EXPECT_EQ(out_.alerts.size(), before);
  send(1, open ? -1.0 : 1.0, kNoon + 4000);
  EXPECT_EQ(out_.alerts.size(), before + 1);
}

TEST_F(RuleAlertsTest, LongTextsOfAllRulesOfAMetricSpendTheBudget) {
  std::vector<rules::Rule> rules;
  for (int i = 0; i < 50; ++i) rules.push_back(test::rule("r" + std::to_string(i), "v", "value.contains('b')"));
  use(std::move(rules));
  std::vector<telemetry::Point> points;
  for (int i = 0; i < 200; ++i) points.push_back(point("v", std::string(1000, 'a'), kNoon + i));
  points.push_back(point("v", "b", kNoon + 200));
  task_.process(next_++, kNoon, test::message(1, std::move(points)), &out_);
  EXPECT_GT(task_.counts().unruled, 100U);
  EXPECT_TRUE(out_.alerts.empty());
  send(2, "b", kNoon + 201);
  EXPECT_EQ(out_.alerts.size(), 50U);
}

TEST_F(RuleAlertsTest, AnAlertShowsTheBeginningOfAText) {
  use({test::rule("text", "v", "value.startsWith('a')")});
  std::string text(kMostValueBytes - 1, 'a');
  text += "\u00e9 and more";  // two bytes across the limit
  send(1, text, kNoon);
  ASSERT_EQ(out_.alerts.size(), 1U);
  EXPECT_EQ(std::get<std::string>(*out_.alerts[0].raise_value), std::string(kMostValueBytes - 1, 'a'));
  use({test::rule("json", "v", "true")});
  send(2, telemetry::Json{"[" + std::string(300, ' ') + "]"}, kNoon);
  EXPECT_FALSE(out_.alerts.back().raise_value.has_value());
}

TEST_F(RuleAlertsTest, ARuleThatIsMadeAgainEndsTheAlertsOfTheFormerOne) {
  rules::Rule rule = test::rule("hot", "v", "value > 30");
  rule.created_version = 1;
  use({rule});
  send(1, 31.0, kNoon);
  rule.version = 2;
  use({rule});
  EXPECT_EQ(out_.alerts.size(), 1U) << "only changed";
  rule.version = rule.created_version = 3;
  use({rule});
  ASSERT_EQ(out_.alerts.size(), 2U);
  EXPECT_EQ(out_.alerts[1].clear_reason, Alert::ClearReason::kRule);
  send(1, 32.0, kNoon + 1);
  ASSERT_EQ(out_.alerts.size(), 3U);
  EXPECT_EQ(out_.alerts[2].event_number, 3);
}

TEST_F(RuleAlertsTest, RestoredAlertsAreCountedByTheirLastEvent) {
  use({test::rule("hot", "v", "value > 30")});
  send(1, 31.0, kNoon);
  send(1, 5.0, kNoon + 1);
  send(1, 32.0, kNoon + 2);
  PartitionTask restored{3, 1, {}, test::book_of({test::rule("hot", "v", "value > 30")})};
  for (const Alert& event : out_.alerts) restored.restore_alert(event);
  EXPECT_EQ(restored.open_alerts(), 1U);
}

TEST_F(RuleAlertsTest, ManyMetricsOfADeviceHaveTheirOwnAlerts) {
  use({test::rule("hot", "m77", "value > 30")});
  for (int i = 0; i < 200; ++i) send(1, 31.0, kNoon + i, "m" + std::to_string(i));
  for (int i = 0; i < 200; ++i) send(1, 1.0, kNoon + 200 + i, "m" + std::to_string(i));
  ASSERT_EQ(out_.alerts.size(), 2U);
  EXPECT_EQ(out_.alerts[1].state, Alert::State::kCleared);
}

}  // namespace
}  // namespace millrace::stream
