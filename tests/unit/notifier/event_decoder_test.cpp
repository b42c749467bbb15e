#include "log/event_decoder.hpp"

#include <gtest/gtest.h>

#include "millrace/alerts/v1/alert.pb.h"

namespace millrace::notifier {
namespace {

alerts::v1::Alert alert() {
  alerts::v1::Alert one;
  one.set_alert_key("demo/rule/device/temperature");
  one.set_alert_id("0af7651916cd43dd8448eb211c80319c");
  one.set_event_number(2);
  one.set_state(alerts::v1::STATE_CLEARED);
  one.set_tenant("demo");
  one.set_raised_at_us(1'700'000'000'000'000);
  one.mutable_raise_value()->set_double_value(41.5);
  return one;
}

TEST(EventDecoder, MakesProtoJson) {
  const auto event = decode_event({3, 4711, 17}, alert().alert_key(), alert().SerializeAsString());
  ASSERT_TRUE(event.ok()) << event.error().message;
  EXPECT_EQ(event->partition, 3);
  EXPECT_EQ(event->offset, 4711);
  EXPECT_EQ(event->time_us, 17);
  EXPECT_EQ(event->tenant, "demo");
  EXPECT_EQ(event->idempotency_key, "0af7651916cd43dd8448eb211c80319c-2");
  EXPECT_EQ(event->body, R"({"alertKey":"demo/rule/device/temperature","alertId":"0af7651916cd43dd8448eb211c80319c",)"
                         R"("eventNumber":"2","state":"STATE_CLEARED","tenant":"demo","raisedAtUs":"1700000000000000",)"
                         R"("raiseValue":{"doubleValue":41.5}})");
  EXPECT_EQ(event->traceparent, "");
}

TEST(EventDecoder, TakesOnlyAValidTraceparent) {
  auto one = alert();
  one.set_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  EXPECT_EQ(decode_event({}, one.alert_key(), one.SerializeAsString())->traceparent, one.traceparent());
  one.set_traceparent("x\r\nEvil: 1");
  EXPECT_EQ(decode_event({}, one.alert_key(), one.SerializeAsString())->traceparent, "");
}

TEST(EventDecoder, RefusesWhatMakesNoSense) {
  EXPECT_FALSE(decode_event({}, "demo/x", "\xff\xff\xff").ok());
  EXPECT_FALSE(decode_event({}, "other/key", alert().SerializeAsString()).ok());
  auto one = alert();
  one.set_tenant("");
  EXPECT_FALSE(decode_event({}, one.alert_key(), one.SerializeAsString()).ok());
  one = alert();
  one.set_tenant("demo2");
  EXPECT_FALSE(decode_event({}, one.alert_key(), one.SerializeAsString()).ok());
  one = alert();
  one.set_alert_id("0af7651916cd43dd8448eb211c80319c\r\nEvil: 1");
  EXPECT_FALSE(decode_event({}, one.alert_key(), one.SerializeAsString()).ok());
}

}  // namespace
}  // namespace millrace::notifier
