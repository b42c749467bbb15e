// SUBSCRIBE and UNSUBSCRIBE up to the owner and its answers back, in both versions.
#include <array>

#include "connection_harness.hpp"

namespace millrace::mqtt {
namespace {

using testing::expect_closed;
using testing::is;
using testing::nothing;
using testing::Wire;
using R = ReasonCode;

std::string entries_of(Version version, std::initializer_list<std::string_view> filters) {
  std::string entries;
  for (const auto filter : filters)
    append_subscription(version, {filter, Qos::kAtLeastOnce, false, false, {}}, entries);
  return entries;
}

TEST(Subscribing, TheOwnerAnswersEachFilter) {
  for (const Version version : {Version::k311, Version::k5}) {
    Wire wire;
    wire.connect_and_accept(version);
    const Event event = wire.send(Subscribe{11, {}, entries_of(version, {"a/+", "b", "bad#"})});
    const auto* requested = std::get_if<SubscribeRequested>(&event);
    ASSERT_NE(requested, nullptr);
    EXPECT_EQ(requested->subscribe.packet_id, 11);
    EXPECT_EQ(requested->subscription_id, 0U);
    SubscriptionReader reader = requested->subscribe.reader();
    Subscription subscription;
    ASSERT_TRUE(reader.next(subscription));
    EXPECT_EQ(subscription.filter, "a/+");
    EXPECT_EQ(subscription.maximum_qos, Qos::kAtLeastOnce);
    const std::array codes{R::kGrantedQos1, R::kNotAuthorized, R::kTopicFilterInvalid};
    EXPECT_FALSE(wire.connection.suback(12, codes)) << "another id";
    EXPECT_FALSE(wire.connection.unsuback(11, codes)) << "another packet";
    EXPECT_TRUE(wire.connection.suback(11, codes));
    EXPECT_FALSE(wire.connection.suback(11, codes)) << "once";
    const auto suback = wire.receive<Suback>(PacketType::kSuback);                      // [MQTT-3.8.4-1]
    EXPECT_EQ(suback.packet_id, 11);                                                    // [MQTT-3.8.4-2]
    EXPECT_EQ(suback.codes, version == Version::k5 ? "\x01\x87\x8F" : "\x01\x80\x80");  // [MQTT-3.8.4-6] [MQTT-3.9.3-1]
    EXPECT_TRUE(wire.connection.output().empty()) << "one SUBACK for all [MQTT-3.8.4-5]";
  }
}

TEST(Subscribing, UnsubscribeLikewise) {
  for (const Version version : {Version::k311, Version::k5}) {
    Wire wire;
    wire.connect_and_accept(version);
    std::string filters;
    append_filter("a", filters);
    append_filter("b/#", filters);
    const Event event = wire.send(Unsubscribe{12, {}, filters});
    const auto* requested = std::get_if<UnsubscribeRequested>(&event);
    ASSERT_NE(requested, nullptr);
    FilterReader reader = requested->unsubscribe.reader();
    std::string_view filter;
    ASSERT_TRUE(reader.next(filter));
    EXPECT_EQ(filter, "a");
    const std::array codes{R::kSuccess, R::kNoSubscriptionExisted};
    EXPECT_FALSE(wire.connection.suback(12, codes));
    EXPECT_TRUE(wire.connection.unsuback(12, codes));
    const auto unsuback = wire.receive<Suback>(PacketType::kUnsuback);  // [MQTT-3.10.4-4]
    EXPECT_EQ(unsuback.packet_id, 12);
    EXPECT_EQ(unsuback.codes, version == Version::k5 ? std::string("\x00\x11", 2) : "");  // [MQTT-3.10.4-5]
  }
}

TEST(Subscribing, NothingMoreIsReadUntilItIsAnswered) {
  Wire wire;
  wire.connect_and_accept(Version::k5, {}, 10);
  std::string bytes;
  encode(Version::k5, Subscribe{1, {}, entries_of(Version::k5, {"a"})}, bytes);
  encode_pingreq(bytes);
  ASSERT_TRUE(is<SubscribeRequested>(wire.send(bytes)));
  EXPECT_TRUE(wire.connection.blocked());
  EXPECT_EQ(wire.connection.deadline(), std::nullopt);
  EXPECT_TRUE(nothing(wire.send("")));
  EXPECT_TRUE(wire.connection.output().empty());
  wire.offer("a", "retained", Qos::kAtMostOnce);
  EXPECT_FALSE(wire.connection.pump(wire.now));
  EXPECT_EQ(wire.said(), "PUBLISH0 a retained") << "messages may come before SUBACK";
  const std::array codes{R::kGrantedQos2};
  EXPECT_TRUE(wire.connection.suback(1, codes));
  EXPECT_FALSE(wire.connection.blocked());
  EXPECT_TRUE(nothing(wire.send("")));
  EXPECT_EQ(wire.said(), "SUBACK|PINGRESP");
}

TEST(Subscribing, TheIdentifierIsGiven) {
  Wire wire;
  wire.connect_and_accept(Version::k5);
  PropertyWriter writer;
  writer.add(PropertyId::kSubscriptionIdentifier, 268'435'455U);
  const Event event = wire.send(Subscribe{1, writer.view(), entries_of(Version::k5, {"a"})});
  ASSERT_TRUE(is<SubscribeRequested>(event));
  EXPECT_EQ(std::get<SubscribeRequested>(event).subscription_id, 268'435'455U);
}

TEST(Subscribing, CodesThatAreMissingOrUnknownAreFailures) {
  Wire wire;
  wire.connect_and_accept(Version::k5);
  wire.send(Subscribe{1, {}, entries_of(Version::k5, {"a", "b", "c"})});
  const std::array codes{R::kPacketTooLarge, R::kGrantedQos1};
  EXPECT_TRUE(wire.connection.suback(1, codes));
  EXPECT_EQ(wire.receive<Suback>(PacketType::kSuback).codes, "\x80\x01\x80");
  std::string filters;
  append_filter("a", filters);
  wire.send(Unsubscribe{2, {}, filters});
  const std::array granted{R::kGrantedQos1};
  EXPECT_TRUE(wire.connection.unsuback(2, granted));
  EXPECT_EQ(wire.receive<Suback>(PacketType::kUnsuback).codes, "\x80");
}

TEST(Subscribing, TextsAreLeftOutWhereTheyAreNotWantedOrDoNotFit) {
  PropertyWriter none, small;
  none.add(PropertyId::kRequestProblemInformation, 0U);
  small.add(PropertyId::kMaximumPacketSize, 30U);
  const UserProperty property{"k", "v"};
  const std::array codes{R::kNotAuthorized};
  const Explanation why{"not your topic, nor that of anybody else", {&property, 1}};
  std::string filters;
  append_filter("a", filters);
  {
    Wire wire;
    wire.connect_and_accept(Version::k5);
    wire.send(Subscribe{1, {}, entries_of(Version::k5, {"a"})});
    wire.connection.suback(1, codes, why);
    const auto suback = wire.receive<Suback>(PacketType::kSuback);
    EXPECT_EQ(suback.properties.text(PropertyId::kReasonString), why.reason_string);
    EXPECT_EQ(suback.properties.user("k"), "v");
    wire.send(Unsubscribe{2, {}, filters});
    wire.connection.unsuback(2, codes, why);
    EXPECT_EQ(wire.receive<Suback>(PacketType::kUnsuback).properties.user("k"), "v");
  }
  for (const PropertyWriter* writer : {&none, &small}) {  // [MQTT-3.1.2-29]; [MQTT-3.9.2-1] [MQTT-3.9.2-2]
    Wire wire;
    wire.connect_and_accept(Version::k5, writer->view());
    wire.send(Subscribe{1, {}, entries_of(Version::k5, {"a"})});
    wire.connection.suback(1, codes, why);
    EXPECT_TRUE(wire.receive<Suback>(PacketType::kSuback).properties.empty());
    wire.send(Unsubscribe{2, {}, filters});
    wire.connection.unsuback(2, codes, why);
    EXPECT_TRUE(wire.receive<Suback>(PacketType::kUnsuback).properties.empty());
  }
  // [MQTT-3.11.2-2]: user properties alone
  Wire wire;
  wire.connect_and_accept(Version::k5, small.view());
  const UserProperty large{"k", "a value that does not fit"};
  wire.send(Unsubscribe{2, {}, filters});
  wire.connection.unsuback(2, codes, {"", {&large, 1}});
  const auto unsuback = wire.receive<Suback>(PacketType::kUnsuback);
  EXPECT_TRUE(unsuback.properties.empty());
  EXPECT_EQ(unsuback.codes, "\x87");
}

TEST(Subscribing, WhatWasNotOfferedEndsAVersion5Connection) {
  PropertyWriter identifier;
  identifier.add(PropertyId::kSubscriptionIdentifier, 1U);
  struct Row {
    const char* filter;
    Properties properties;
    R reason;
  };
  const Row rows[] = {{"a/+", {}, R::kWildcardSubscriptionsNotSupported},
                      {"#", {}, R::kWildcardSubscriptionsNotSupported},
                      {"$share/g/a", {}, R::kSharedSubscriptionsNotSupported},
                      {"a", identifier.view(), R::kSubscriptionIdentifiersNotSupported}};
  Offers offers;
  offers.wildcard_subscriptions = offers.subscription_ids = offers.shared_subscriptions = false;
  for (const Row& row : rows) {
    SCOPED_TRACE(row.filter);
    Wire five;
    five.connect_and_accept(Version::k5, {}, 0, {.session_present = false, .session_expiry_s = {}, .offers = offers});
    expect_closed(five.send(Subscribe{1, row.properties, entries_of(Version::k5, {row.filter})}),
                  CloseCause::kProtocolError, row.reason);
    EXPECT_EQ(five.receive<Disconnect>(PacketType::kDisconnect).reason, row.reason);
    Wire three;
    three.connect_and_accept(Version::k311, {}, 0,
                             {.session_present = false, .session_expiry_s = {}, .offers = offers});
    EXPECT_TRUE(is<SubscribeRequested>(three.send(Subscribe{1, {}, entries_of(Version::k311, {row.filter})})));
  }
}

TEST(Subscribing, AnAnswerAfterTheEndSaysNothing) {
  Wire wire;
  wire.connect_and_accept(Version::k311);
  wire.send(Subscribe{1, {}, entries_of(Version::k311, {"a"})});
  wire.connection.disconnect(R::kSessionTakenOver);
  const std::array codes{R::kGrantedQos1};
  EXPECT_FALSE(wire.connection.suback(1, codes));
  EXPECT_TRUE(wire.connection.output().empty());
}

}  // namespace
}  // namespace millrace::mqtt
