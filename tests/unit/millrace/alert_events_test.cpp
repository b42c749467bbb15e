#include "alert_events.hpp"

#include <gtest/gtest.h>

#include "alert_text.hpp"

namespace millrace::cli {
namespace {

using alerts::v1::Alert;

Alert alert(const std::string& id, std::int64_t event, alerts::v1::State state, TimeUs raised = 100) {
  Alert made;
  made.set_alert_id(id);
  made.set_event_number(event);
  made.set_state(state);
  made.set_raised_at_us(raised);
  if (state == alerts::v1::STATE_CLEARED) made.set_cleared_at_us(raised + 5);
  return made;
}

TEST(AlertEvents, GivesEachEventOnce) {
  AlertEvents events;
  EXPECT_EQ(events.take(alert("a", 1, alerts::v1::STATE_RAISED)).size(), 1U);
  EXPECT_TRUE(events.take(alert("a", 1, alerts::v1::STATE_RAISED)).empty());
  const auto cleared = events.take(alert("a", 2, alerts::v1::STATE_CLEARED));
  ASSERT_EQ(cleared.size(), 1U);
  EXPECT_EQ(cleared[0].state(), alerts::v1::STATE_CLEARED);
  EXPECT_TRUE(events.take(alert("a", 2, alerts::v1::STATE_CLEARED)).empty());
  EXPECT_TRUE(events.take(alert("a", 1, alerts::v1::STATE_RAISED)).empty()) << "an answer from before";
}

TEST(AlertEvents, OneThatCameAndWentInBetweenIsARaiseAndAClear) {
  AlertEvents events;
  const auto both = events.take(alert("a", 2, alerts::v1::STATE_CLEARED));
  ASSERT_EQ(both.size(), 2U);
  EXPECT_EQ(both[0].state(), alerts::v1::STATE_RAISED);
  EXPECT_EQ(both[0].cleared_at_us(), 0);
  EXPECT_EQ(both[1].state(), alerts::v1::STATE_CLEARED);
}

TEST(AlertEvents, KnowsWhichOpenOnesAreMissing) {
  AlertEvents events;
  events.begin_look();
  static_cast<void>(events.take(alert("a", 1, alerts::v1::STATE_RAISED)));
  static_cast<void>(events.take(alert("b", 1, alerts::v1::STATE_RAISED)));
  static_cast<void>(events.take(alert("c", 2, alerts::v1::STATE_CLEARED)));
  EXPECT_TRUE(events.missing().empty());
  events.begin_look();
  static_cast<void>(events.take(alert("a", 1, alerts::v1::STATE_RAISED)));
  ASSERT_EQ(events.missing().size(), 1U);
  EXPECT_EQ(events.missing()[0].alert_id(), "b");
  static_cast<void>(events.take(alert("b", 2, alerts::v1::STATE_CLEARED)));
  EXPECT_TRUE(events.missing().empty());
}

TEST(AlertEvents, ForgetsWhatIsClearedAndOldOnly) {
  AlertEvents events;
  static_cast<void>(events.take(alert("open", 1, alerts::v1::STATE_RAISED, 100)));
  static_cast<void>(events.take(alert("old", 2, alerts::v1::STATE_CLEARED, 100)));
  static_cast<void>(events.take(alert("new", 2, alerts::v1::STATE_CLEARED, 900)));
  events.forget_before(500);
  EXPECT_TRUE(events.take(alert("open", 1, alerts::v1::STATE_RAISED, 100)).empty());
  EXPECT_TRUE(events.take(alert("new", 2, alerts::v1::STATE_CLEARED, 900)).empty());
  EXPECT_EQ(events.take(alert("old", 2, alerts::v1::STATE_CLEARED, 100)).size(), 2U);
}

TEST(AlertEvents, ARaiseFromBeforeALookHasNothingOfItsClear) {
  Alert now = alert("a", 2, alerts::v1::STATE_CLEARED);
  now.set_ingest_time_us(900 * kUsPerSecond);
  AlertEvents events;
  EXPECT_EQ(events.take(now)[0].ingest_time_us(), 0) << "when the clear came in";
}

TEST(EventLine, SaysWhatClearedAnAlertAndHowLateAReadingWas) {
  Alert event = alert("a", 1, alerts::v1::STATE_RAISED, 1000 * kUsPerSecond);
  event.set_rule("hot");
  event.set_device("device-1");
  event.set_metric("oven");
  event.set_description("the oven is too hot");
  event.mutable_raise_value()->set_int_value(260);
  event.set_ingest_time_us(1009 * kUsPerSecond);
  EXPECT_TRUE(event_line(event).ends_with("hot  device-1  oven = 260  the oven is too hot")) << event_line(event);
  event.set_ingest_time_us(1180 * kUsPerSecond);
  EXPECT_TRUE(event_line(event).ends_with("oven = 260  +180 s late  the oven is too hot")) << event_line(event);
  event.set_state(alerts::v1::STATE_CLEARED);
  event.set_cleared_at_us(1001 * kUsPerSecond);
  event.set_clear_reason(alerts::v1::CLEAR_REASON_RULE);
  EXPECT_TRUE(event_line(event).ends_with("oven  (rule deleted or disabled)  the oven is too hot"))
      << event_line(event);
}

}  // namespace
}  // namespace millrace::cli
