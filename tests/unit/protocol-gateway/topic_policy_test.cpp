#include "mqtt/topic_policy.hpp"

#include <gtest/gtest.h>

#include "mqtt/device_message.hpp"

namespace millrace::gateway {
namespace {

using Use = TopicPolicy::Use;

TEST(TopicPolicy, ADevicesReadingsAreThoseOfItsOwnTopics) {
  const TopicPolicy policy = TopicPolicy::of_device("m-1");
  EXPECT_EQ(policy.publishing("devices/m-1/telemetry").use, Use::kIngest);
  EXPECT_EQ(policy.publishing("devices/m-1/telemetry").metric_prefix, "");
  EXPECT_EQ(policy.publishing("devices/m-1/status").use, Use::kIngest);
  EXPECT_EQ(policy.publishing("devices/m-1/status").metric_prefix, "status.");
  for (const char* topic : {"devices/m-2/telemetry", "devices/m-10/telemetry", "devices/m-/telemetry",
                            "devices/m-1/commands", "devices/m-1/errors", "devices/m-1/telemetry/",
                            "devices/m-1/telemetryx", "devices/m-1/telemetry.xml", "devices/m-1/telemetry.cbor/x",
                            "devices/m-2/telemetry/x", "devices/m-1", "elsewhere", "$SYS/x", "/devices/m-1/status"}) {
    EXPECT_EQ(policy.publishing(topic).use, Use::kForbidden) << topic;
  }
}

TEST(TopicPolicy, WhatStandsBehindTelemetryNamesAMetricOrAFormat) {
  using Format = telemetry::PayloadFormat;
  const TopicPolicy policy = TopicPolicy::of_device("m-1");
  const auto plain = policy.publishing("devices/m-1/telemetry");
  EXPECT_EQ(plain.metric, "");
  EXPECT_EQ(plain.format, std::nullopt);
  const auto metric = policy.publishing("devices/m-1/telemetry/pump/2.cbor");
  EXPECT_EQ(metric.use, Use::kIngest);
  EXPECT_EQ(metric.metric, "pump/2.cbor");
  EXPECT_EQ(metric.format, Format::kText);
  const auto status = policy.publishing("devices/m-1/status/battery");
  EXPECT_EQ(status.metric_prefix, "status.");
  EXPECT_EQ(status.metric, "battery");
  EXPECT_EQ(policy.publishing("devices/m-1/telemetry.senmlc").format, Format::kSenmlCbor);
  EXPECT_EQ(policy.publishing("devices/m-1/status.pb").format, Format::kProtobuf);
  EXPECT_EQ(policy.publishing("devices/m-1/status.pb").metric_prefix, "status.");
}

TEST(TopicPolicy, ADeviceListensToItsErrorsAndCommands) {
  const TopicPolicy policy = TopicPolicy::of_device("m-1");
  for (const char* filter : {"devices/m-1/errors", "devices/m-1/commands", "devices/m-1/commands/#",
                             "devices/m-1/commands/reboot", "devices/m-1/commands/+/x"}) {
    EXPECT_TRUE(policy.may_subscribe(filter)) << filter;
  }
  for (const char* filter :
       {"#", "+/m-1/errors", "devices/+/errors", "devices/#", "devices/m-1/#", "devices/m-1/+", "devices/m-2/errors",
        "devices/m-1", "devices/m-1/errors/#", "devices/m-1/telemetry", "devices/m-10/commands", "devices/m-1commands",
        "$share/g/devices/m-1/commands", "$SYS/#"}) {
    EXPECT_FALSE(policy.may_subscribe(filter)) << filter;
  }
}

TEST(TopicPolicy, ADeviceIsOfferedNeitherRetainNorSharedSubscriptions) {
  const mqtt::Offers& offers = TopicPolicy::of_device("m-1").offers();
  EXPECT_EQ(offers.maximum_qos, mqtt::Qos::kExactlyOnce);
  EXPECT_FALSE(offers.retain);
  EXPECT_FALSE(offers.shared_subscriptions);
  EXPECT_TRUE(offers.wildcard_subscriptions);
  EXPECT_TRUE(offers.subscription_ids);
}

TEST(TopicPolicy, OpenMakesNoDifferenceBetweenTopics) {
  const TopicPolicy policy = TopicPolicy::open();
  for (const char* topic : {"devices/m-1/telemetry", "a", "/", "$x"}) {
    EXPECT_EQ(policy.publishing(topic).use, Use::kLocal) << topic;
    EXPECT_TRUE(policy.may_subscribe(topic)) << topic;
  }
  EXPECT_TRUE(policy.may_subscribe("#"));
  EXPECT_TRUE(policy.may_subscribe("$share/g/#"));
  EXPECT_TRUE(policy.offers().retain);
  EXPECT_TRUE(policy.offers().shared_subscriptions);
}

TEST(DeviceMessages, SessionsOfTwoDevicesNeverShareAName) {
  EXPECT_EQ(session_name("m-1", "a/b"), "m-1/a/b");
  const SessionOwner owner = owner_of("m-1/a/b");
  EXPECT_EQ(owner.device, "m-1");
  EXPECT_EQ(owner.client_id, "a/b");
  EXPECT_EQ(owner_of(session_name("m-1", "")).client_id, "");
}

TEST(DeviceMessages, PropertiesAreReadInOneWalkAndTheFirstOfANameCounts) {
  const std::string trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  mqtt::PropertyWriter writer;
  writer.add(mqtt::PropertyId::kContentType, "application/cbor");
  writer.add_user("other", "x").add_user("message-id", "7").add_user("message-id", "8").add_user("traceparent", trace);
  mqtt::PropertyWriter stored;
  stored.add_encoded(writer.view().bytes());
  for (const auto& properties : {writer.view(), stored.view()}) {
    const DeviceMessage said = read_properties(properties);
    EXPECT_EQ(said.content_type, "application/cbor");
    EXPECT_EQ(said.message_id, "7");
    EXPECT_EQ(said.traceparent, trace);
  }
  writer.clear();
  writer.add_user("traceparent", "nonsense");
  EXPECT_EQ(read_properties(writer.view()).traceparent, "");
}

}  // namespace
}  // namespace millrace::gateway
