#include "mqtt/topic_policy.hpp"

#include <gtest/gtest.h>

#include "mqtt/device_message.hpp"
#include "mqtt/topic_filter.hpp"

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

TEST(TopicPolicy, ADeviceIsOfferedRetainButNoSharedSubscriptions) {
  const mqtt::Offers& offers = TopicPolicy::of_device("m-1").offers();
  EXPECT_EQ(offers.maximum_qos, mqtt::Qos::kExactlyOnce);
  EXPECT_TRUE(offers.retain);
  EXPECT_FALSE(offers.shared_subscriptions);
  EXPECT_TRUE(offers.wildcard_subscriptions);
  EXPECT_TRUE(offers.subscription_ids);
}

TopicRights rights_of(const std::vector<std::string>& children, const std::vector<registry_view::TopicRule>& own,
                      const std::vector<registry_view::TopicRule>& of_tenant = {}) {
  auto grants = std::make_shared<registry_view::DeviceGrants>();
  grants->children = children;
  grants->topics = own;
  auto policy = std::make_shared<registry_view::TenantPolicy>();
  policy->device_topics = of_tenant;
  return {std::move(grants), std::move(policy)};
}

TEST(TopicPolicy, AGatewaySpeaksForItsChildren) {
  const TopicRights rights = rights_of({"child-1", "meter-*"}, {});
  const TopicPolicy policy = TopicPolicy::of_device("gw", &rights);
  EXPECT_EQ(policy.publishing("devices/gw/telemetry").child, "");
  EXPECT_EQ(policy.publishing("devices/child-1/telemetry").child, "child-1");
  EXPECT_EQ(policy.publishing("devices/meter-7/status/x").child, "meter-7");
  EXPECT_EQ(policy.publishing("devices/meter-7/status/x").use, Use::kIngest);
  for (const char* topic : {"devices/child-10/telemetry", "devices/meter/telemetry", "devices/child-1/commands"})
    EXPECT_EQ(policy.publishing(topic).use, Use::kForbidden) << topic;
  for (const char* filter : {"devices/meter-7/commands/#", "devices/child-1/errors", "devices/gw/commands"})
    EXPECT_TRUE(policy.may_subscribe(filter)) << filter;
  for (const char* filter :
       {"devices/+/commands", "devices/other/commands", "devices/meter-7/#", "$share/g/devices/meter-7/commands"})
    EXPECT_FALSE(policy.may_subscribe(filter)) << filter;
  const TopicRights all = rights_of({"*"}, {});
  EXPECT_TRUE(TopicPolicy::of_device("gw", &all).may_subscribe("devices/+/commands/#"));
  EXPECT_FALSE(TopicPolicy::of_device("gw", &all).may_subscribe("devices/#"));
}

TEST(TopicPolicy, AFilterIsAboutOneChildOrAboutNone) {
  const TopicRights all = rights_of({"*"}, {{"plant/#", true, true}});
  const TopicPolicy policy = TopicPolicy::of_device("gw", &all);
  EXPECT_EQ(policy.child_of("devices/meter-7/commands/#"), "meter-7");
  EXPECT_EQ(policy.child_of("devices/meter-7/errors"), "meter-7");
  for (const char* filter : {"devices/gw/commands", "devices/+/commands", "plant/#", "$share/g/plant/x"})
    EXPECT_EQ(policy.child_of(filter), "") << filter;
  EXPECT_EQ(TopicPolicy::open().child_of("devices/meter-7/commands"), "");
}

TEST(TopicPolicy, LocalTopicsAreAllowedByRules) {
  const TopicRights rights = rights_of({}, {{"plant/{device}/#", true, true}, {"plant/+/alarm", false, true}});
  const TopicPolicy policy = TopicPolicy::of_device("m-1", &rights);
  EXPECT_EQ(policy.publishing("plant/m-1/pump").use, Use::kLocal);
  EXPECT_EQ(policy.publishing("plant/m-1").use, Use::kLocal);
  for (const char* topic : {"plant/m-2/alarm", "plant", "elsewhere", "$SYS/x"})
    EXPECT_EQ(policy.publishing(topic).use, Use::kForbidden) << topic;
  for (const char* filter :
       {"plant/m-1/#", "plant/m-1/+/x", "plant/m-2/alarm", "plant/+/alarm", "$share/g/plant/m-1/x"})
    EXPECT_TRUE(policy.may_subscribe(filter)) << filter;
  for (const char* filter : {"plant/#", "plant/+/#", "plant/m-2/#", "plant/+/+", "$share/g/plant/#"})
    EXPECT_FALSE(policy.may_subscribe(filter)) << filter;
  EXPECT_TRUE(policy.offers().retain);
  EXPECT_TRUE(policy.offers().shared_subscriptions);
}

TEST(TopicPolicy, NoRuleReachesTheTopicsOfDevices) {
  const TopicRights rights = rights_of({}, {{"#", true, true}});
  const TopicPolicy policy = TopicPolicy::of_device("m-1", &rights);
  EXPECT_EQ(policy.publishing("anything/else").use, Use::kLocal);
  for (const char* topic : {"devices/m-2/telemetry", "devices/m-2/commands", "devices", "devices/x", "$SYS/x"})
    EXPECT_EQ(policy.publishing(topic).use, Use::kForbidden) << topic;
  EXPECT_TRUE(policy.may_subscribe("anything/#"));
  for (const char* filter : {"#", "+/#", "+/m-2/commands", "devices/#", "devices/m-2/commands", "$SYS/#", "$share/g/#"})
    EXPECT_FALSE(policy.may_subscribe(filter)) << filter;
}

TEST(TopicPolicy, ADevicesOwnRulesReplaceThoseOfItsTenant) {
  const std::vector<registry_view::TopicRule> of_tenant{{"all/{device}", true, false}};
  const TopicRights plain = rights_of({}, {}, of_tenant);
  EXPECT_EQ(TopicPolicy::of_device("m-1", &plain).publishing("all/m-1").use, Use::kLocal);
  EXPECT_EQ(TopicPolicy::of_device("m-1", &plain).publishing("all/m-2").use, Use::kForbidden);
  const TopicRights own = rights_of({}, {{"mine", true, true}}, of_tenant);
  EXPECT_EQ(TopicPolicy::of_device("m-1", &own).publishing("all/m-1").use, Use::kForbidden);
  EXPECT_TRUE(TopicPolicy::of_device("m-1", &own).may_subscribe("mine"));
  EXPECT_FALSE(TopicPolicy::of_device("m-1", &own).may_subscribe("all/m-1"));
}

TEST(TopicFilters, OneCoversAnother) {
  struct Case {
    const char* wide;
    const char* narrow;
    bool covers;
  };
  for (const Case& one : {Case{"#", "a/b", true},       Case{"#", "#", true},        Case{"#", "$x", false},
                          Case{"+/x", "$x/x", false},   Case{"a/#", "a", true},      Case{"a/#", "a/#", true},
                          Case{"a/#", "a/+/b", true},   Case{"a/+", "a/b", true},    Case{"a/+", "a/+", true},
                          Case{"a/+", "a/#", false},    Case{"a/+", "a", false},     Case{"a/+", "a/b/c", false},
                          Case{"a/b", "a/+", false},    Case{"a/b", "a/#", false},   Case{"+", "#", false},
                          Case{"+/+", "/x", true},      Case{"a", "a", true},        Case{"a", "A", false},
                          Case{"a", "a/", false},       Case{"a/+", "a/", true},     Case{"+/#", "a", true},
                          Case{"a/+/c", "a/b/c", true}, Case{"a/+/c", "a/#", false}, Case{"a/b/#", "a/+/c", false}}) {
    EXPECT_EQ(covers(one.wide, one.narrow), one.covers) << one.wide << " " << one.narrow;
  }
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
  writer.add_user("ack", "stored").add_user("ack", "bus");
  mqtt::PropertyWriter stored;
  stored.add_encoded(writer.view().bytes());
  for (const auto& properties : {writer.view(), stored.view()}) {
    const DeviceMessage said = read_properties(properties);
    EXPECT_EQ(said.content_type, "application/cbor");
    EXPECT_EQ(said.message_id, "7");
    EXPECT_EQ(said.traceparent, trace);
    EXPECT_EQ(said.ack, "stored");
  }
  writer.clear();
  writer.add_user("traceparent", "nonsense");
  EXPECT_EQ(read_properties(writer.view()).traceparent, "");
}

}  // namespace
}  // namespace millrace::gateway
