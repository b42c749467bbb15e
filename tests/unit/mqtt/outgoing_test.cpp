// Messages towards the client: pump(), what it writes in both versions, and what the client answers.
#include "connection_harness.hpp"

namespace millrace::mqtt {
namespace {

using namespace std::chrono_literals;
using testing::expect_closed;
using testing::is;
using testing::nothing;
using testing::Wire;
using R = ReasonCode;

constexpr Version kBoth[] = {Version::k311, Version::k5};

Delivery delivery(const Publish& publish, TimePoint now, std::vector<std::uint32_t> ids = {}) {
  return {make_message(publish, now), publish.qos, publish.retain, std::move(ids)};
}

TEST(Outgoing, EveryQosInOrder) {
  for (const Version version : kBoth) {
    Wire wire;
    wire.connect_and_accept(version);
    EXPECT_FALSE(wire.connection.pump(wire.now));
    EXPECT_EQ(wire.said(), "");
    wire.offer("a", "0", Qos::kAtMostOnce);
    EXPECT_EQ(wire.wakes, 1);
    wire.offer("b", "1", Qos::kAtLeastOnce);
    wire.offer("c", "2", Qos::kExactlyOnce);
    EXPECT_EQ(wire.wakes, 1);
    EXPECT_FALSE(wire.connection.pump(wire.now));
    EXPECT_EQ(wire.said(),
              "PUBLISH0 a 0|PUBLISH1 #1 b 1|PUBLISH2 #2 c 2");  // [MQTT-4.3.1-1] [MQTT-4.3.2-2] [MQTT-4.3.3-2]
  }
}

TEST(Outgoing, TheExchangesEnd) {
  for (const Version version : kBoth) {
    Wire wire;
    wire.connect_and_accept(version);
    wire.offer("b", "1", Qos::kAtLeastOnce);
    wire.offer("c", "2", Qos::kExactlyOnce);
    wire.connection.pump(wire.now);
    wire.said();
    EXPECT_TRUE(nothing(wire.ack(PacketType::kPuback, 1)));
    EXPECT_EQ(wire.said(), "");
    EXPECT_TRUE(nothing(wire.ack(PacketType::kPubrec, 2)));
    EXPECT_EQ(wire.said(), "PUBREL 2");  // [MQTT-4.3.3-4]
    EXPECT_TRUE(nothing(wire.ack(PacketType::kPubrec, 2)));
    EXPECT_EQ(wire.said(), "PUBREL 2") << "again";
    EXPECT_TRUE(nothing(wire.ack(PacketType::kPubcomp, 2)));
    EXPECT_EQ(wire.said(), "");
    EXPECT_EQ(wire.session->load().in_flight, 0U);
    EXPECT_EQ(wire.session->load().bytes, 0U);
  }
}

TEST(Outgoing, AFailedPubrecEndsTheExchange) {
  Wire wire;
  wire.connect_and_accept(Version::k5);
  wire.offer("c", "2", Qos::kExactlyOnce);
  wire.connection.pump(wire.now);
  wire.said();
  wire.ack(PacketType::kPubrec, 1, R::kQuotaExceeded);
  EXPECT_EQ(wire.said(), "") << "no PUBREL";
  EXPECT_EQ(wire.session->load().in_flight, 0U);
  wire.ack(PacketType::kPubrec, 1);
  EXPECT_EQ(wire.said(), "PUBREL 1 packet identifier not found");
}

TEST(Outgoing, ReceiveMaximumOfTheClient) {
  PropertyWriter writer;
  writer.add(PropertyId::kReceiveMaximum, 2U);
  Wire wire;
  wire.connect_and_accept(Version::k5, writer.view());
  for (const char* payload : {"1", "2", "3", "4"}) wire.offer("t", payload, Qos::kAtLeastOnce);
  EXPECT_FALSE(wire.connection.pump(wire.now));
  EXPECT_EQ(wire.said(), "PUBLISH1 #1 t 1|PUBLISH1 #2 t 2");  // [MQTT-3.3.4-9]
  wire.send(std::string_view("\xC0\x00", 2));
  EXPECT_EQ(wire.said(), "PINGRESP") << "[MQTT-3.3.4-10]: nothing else is delayed";
  wire.ack(PacketType::kPuback, 1);
  EXPECT_FALSE(wire.connection.pump(wire.now));
  EXPECT_EQ(wire.said(), "PUBLISH1 #3 t 3");
}

TEST(Outgoing, OnlyANewConnectionSendsAgain) {
  for (const Version version : kBoth) {
    Wire first;
    first.connect_and_accept(version);
    first.offer("a", "1", Qos::kAtLeastOnce);
    first.offer("b", "2", Qos::kExactlyOnce);
    first.offer("c", "3", Qos::kExactlyOnce);
    first.connection.pump(first.now);
    first.said();
    first.ack(PacketType::kPubrec, 2);
    first.said();
    EXPECT_FALSE(first.connection.pump(first.now + 24h));
    EXPECT_EQ(first.said(), "");
    first.session->detach(first.attachment);
    first.offer("d", "4", Qos::kAtLeastOnce);
    Wire second;
    second.session = first.session;
    Connect connect;
    connect.version = version;
    connect.clean_start = false;
    connect.client_id = "c";
    second.connect(connect);
    ASSERT_TRUE(second.accept({.session_present = true, .session_expiry_s = {}, .offers = {}}));
    EXPECT_TRUE(second.receive<Connack>(PacketType::kConnack).session_present);  // [MQTT-3.2.2-3]
    EXPECT_FALSE(second.connection.pump(second.now));
    // [MQTT-4.4.0-1] [MQTT-3.3.1-1] [MQTT-4.3.3-6]
    EXPECT_EQ(second.said(), "PUBLISH1 #1 dup a 1|PUBREL 2|PUBLISH2 #3 dup c 3|PUBLISH1 #4 d 4");
    EXPECT_FALSE(first.connection.pump(first.now)) << "the first connection has lost the session";
    EXPECT_EQ(first.said(), "");
  }
}

TEST(Outgoing, PumpStopsAtTheBoundAndGoesOn) {
  ServerOptions options;
  options.output_bound = 1000;
  Wire wire(options);
  wire.connect_and_accept(Version::k311);
  for (int i = 0; i < 30; ++i) wire.offer("t", std::string(100, 'x'), Qos::kAtLeastOnce);
  int rounds = 0;
  std::size_t sent = 0;
  for (bool more = true; more; ++rounds) {
    more = wire.connection.pump(wire.now);
    EXPECT_LT(wire.connection.output().size(), 1000U + 110U);
    sent += wire.connection.output().size();
    wire.connection.output().clear();
  }
  EXPECT_EQ(rounds, 4);
  EXPECT_EQ(sent, 30U * 107U);
}

TEST(Outgoing, PropertiesOf5) {
  Wire wire;
  wire.connect_and_accept(Version::k5);
  PropertyWriter writer;
  writer.add_user("k", "1").add(PropertyId::kMessageExpiryInterval, 10U).add(PropertyId::kContentType, "text/plain");
  writer.add(PropertyId::kTopicAlias, 4U).add_user("k", "2").add(PropertyId::kPayloadFormatIndicator, 1U);
  const Publish publish{"t", "p", Qos::kAtLeastOnce, false, true, 9, writer.view()};
  wire.session->offer(delivery(publish, wire.now, {5, 200}), wire.now);
  wire.now += 2500ms;
  wire.connection.pump(wire.now);
  const auto sent = wire.receive<Publish>(PacketType::kPublish);
  EXPECT_TRUE(sent.retain);
  EXPECT_EQ(sent.packet_id, 1);
  EXPECT_EQ(sent.properties.number(PropertyId::kMessageExpiryInterval), 8U);  // [MQTT-3.3.2-6]
  EXPECT_EQ(sent.properties.text(PropertyId::kContentType), "text/plain");    // [MQTT-3.3.2-20]
  EXPECT_EQ(sent.properties.number(PropertyId::kPayloadFormatIndicator), 1U);
  EXPECT_FALSE(sent.properties.has(PropertyId::kTopicAlias));  // [MQTT-3.3.2-7]
  std::string users, ids;
  PropertyReader reader = sent.properties.reader();
  for (Property property; reader.next(property);) {
    if (property.id == PropertyId::kUserProperty) users += property.value;
    if (property.id == PropertyId::kSubscriptionIdentifier) ids += std::to_string(property.number) + ' ';
  }
  EXPECT_EQ(users, "12");    // [MQTT-3.3.2-18]
  EXPECT_EQ(ids, "5 200 ");  // [MQTT-3.3.4-3] [MQTT-3.3.4-4]
}

TEST(Outgoing, PropertiesAreLeftOutFor311) {
  Wire wire;
  wire.connect_and_accept(Version::k311);
  PropertyWriter writer;
  writer.add_user("k", "1").add(PropertyId::kMessageExpiryInterval, 10U);
  wire.session->offer(delivery(Publish{"t", "p", {}, false, false, 0, writer.view()}, wire.now, {5}), wire.now);
  wire.connection.pump(wire.now);
  EXPECT_EQ(wire.connection.output(), std::string("\x30\x04\x00\x01tp", 6));
}

TEST(Outgoing, AnUnwaitedMessageKeepsItsInterval) {
  Wire wire;
  wire.connect_and_accept(Version::k5);
  PropertyWriter writer;
  writer.add(PropertyId::kMessageExpiryInterval, 1U);
  wire.session->offer(delivery(Publish{"t", "", {}, false, false, 0, writer.view()}, wire.now), wire.now);
  wire.connection.pump(wire.now + 1ms);
  EXPECT_EQ(wire.receive<Publish>(PacketType::kPublish).properties.number(PropertyId::kMessageExpiryInterval), 1U);
  wire.session->offer(delivery(Publish{"t", "", {}, false, false, 0, writer.view()}, wire.now), wire.now);
  wire.connection.pump(wire.now + 1s);
  EXPECT_EQ(wire.said(), "") << "[MQTT-3.3.2-5]";
}

TEST(Outgoing, WhatIsSentAgainAfterItsExpiryHasNothingLeft) {
  Wire wire;
  wire.connect_and_accept(Version::k5);
  PropertyWriter writer;
  writer.add(PropertyId::kMessageExpiryInterval, 1U);
  wire.session->offer(delivery(Publish{"t", "", Qos::kAtLeastOnce, false, false, 1, writer.view()}, wire.now),
                      wire.now);
  wire.connection.pump(wire.now);
  Wire second;
  second.session = wire.session;
  second.connect_and_accept(Version::k5);
  second.connection.pump(second.now + 1h);
  const auto again = second.receive<Publish>(PacketType::kPublish);  // [MQTT-4.3.3-7]
  EXPECT_TRUE(again.dup);
  EXPECT_EQ(again.properties.number(PropertyId::kMessageExpiryInterval), 0U);
}

TEST(Outgoing, TopicAliases) {
  PropertyWriter writer;
  writer.add(PropertyId::kTopicAliasMaximum, 2U);
  Wire wire;
  wire.connect_and_accept(Version::k5, writer.view());
  const auto alias_of = [&](std::string_view topic) {
    wire.offer(topic, "p", Qos::kAtMostOnce);
    wire.connection.pump(wire.now);
    const auto sent = wire.receive<Publish>(PacketType::kPublish);
    return std::string(sent.topic) + '/' + std::to_string(sent.properties.number(PropertyId::kTopicAlias).value_or(0));
  };
  EXPECT_EQ(alias_of("first"), "first/1");
  EXPECT_EQ(alias_of("second"), "second/2");
  EXPECT_EQ(alias_of("first"), "/1");
  EXPECT_EQ(alias_of("third"), "third/0") << "[MQTT-3.3.2-11]: no more than the client takes";
  EXPECT_EQ(alias_of("second"), "/2");
  EXPECT_EQ(alias_of("abc"), "abc/0") << "saves nothing";
  Wire without;
  without.connect_and_accept(Version::k5);
  for (int i = 0; i < 2; ++i) without.offer("first", "p", Qos::kAtMostOnce);
  without.connection.pump(without.now);
  EXPECT_EQ(without.said(), "PUBLISH0 first p|PUBLISH0 first p");
}

TEST(Outgoing, ATooLargeMessageIsNotSentAndCountsAsDone) {
  PropertyWriter writer;
  writer.add(PropertyId::kMaximumPacketSize, 50U).add(PropertyId::kReceiveMaximum, 1U);
  writer.add(PropertyId::kTopicAliasMaximum, 5U);
  Wire wire;
  wire.connect_and_accept(Version::k5, writer.view());
  wire.offer("topic", std::string(50, 'x'), Qos::kAtLeastOnce);
  wire.offer("topic", std::string(50, 'x'), Qos::kAtMostOnce);
  // 2 fixed header, 2 + 5 topic, 2 id, 1 property length: 38 left; with an alias 35
  wire.offer("topic", std::string(38, 'y'), Qos::kAtLeastOnce);
  EXPECT_FALSE(wire.connection.pump(wire.now));
  EXPECT_EQ(wire.said(), "PUBLISH1 #2 topic " + std::string(38, 'y'));  // [MQTT-3.1.2-24] [MQTT-3.1.2-25]
  EXPECT_EQ(wire.connection.discarded_too_large(), 2U);
  EXPECT_EQ(wire.session->load().in_flight, 1U);
}

TEST(Outgoing, NothingAfterTheEnd) {
  Wire wire;
  wire.connect_and_accept(Version::k5);
  wire.offer("t", "p", Qos::kAtLeastOnce);
  wire.send(Disconnect{});
  EXPECT_FALSE(wire.connection.pump(wire.now));
  EXPECT_EQ(wire.said(), "");  // [MQTT-3.14.4-3]
  EXPECT_EQ(wire.session->load().queued, 1U);
  Wire early;
  EXPECT_FALSE(early.connection.pump(early.now)) << "before CONNECT";
}

}  // namespace
}  // namespace millrace::mqtt
