#include <algorithm>
#include <numeric>
#include <random>

#include "connection_harness.hpp"

namespace millrace::mqtt {
namespace {

using namespace std::chrono_literals;
using testing::expect_closed;
using testing::nothing;
using testing::Wire;
using R = ReasonCode;

TEST(ServerConnection, AcceptOf311SaysNothingButYes) {
  Wire wire;
  Connect connect;
  connect.version = Version::k311;
  connect.client_id = "meter";
  connect.user_name = "meter@grid";
  connect.password = "secret";
  const Event event = wire.connect(connect);
  const auto* requested = std::get_if<ConnectRequested>(&event);
  ASSERT_NE(requested, nullptr);
  EXPECT_EQ(requested->connect.user_name, "meter@grid");
  EXPECT_EQ(requested->connect.password, "secret");
  EXPECT_EQ(wire.connection.state(), ConnectionState::kConnecting);
  EXPECT_TRUE(wire.connection.output().empty());
  wire.accept();
  EXPECT_EQ(wire.connection.output(), std::string("\x20\x02\x00\x00", 4));
}

// [MQTT-3.2.2-9] [MQTT-3.2.2-16] [MQTT-3.1.3-7] [MQTT-3.1.4-5]
TEST(ServerConnection, AcceptOf5SaysWhatThisServerHas) {
  ServerOptions options;
  options.keep_alive_maximum_s = 100;
  options.receive_maximum = 7;
  options.maximum_packet_size = 5000;
  options.topic_alias_maximum = 3;
  Wire wire(options);
  PropertyWriter writer;
  writer.add(PropertyId::kSessionExpiryInterval, 3600U);
  Connect connect;
  connect.properties = writer.view();
  connect.keep_alive_s = 600;
  ASSERT_TRUE(std::holds_alternative<ConnectRequested>(wire.connect(connect)));
  wire.session = std::make_shared<Session>("given-1", SessionLimits{});
  Offers offers;
  offers.maximum_qos = Qos::kAtLeastOnce;
  offers.retain = offers.wildcard_subscriptions = offers.subscription_ids = offers.shared_subscriptions = false;
  ASSERT_TRUE(wire.accept({.session_present = false, .session_expiry_s = 0, .offers = offers}));
  const auto connack = wire.receive<Connack>(PacketType::kConnack);
  EXPECT_EQ(connack.reason, R::kSuccess);
  EXPECT_FALSE(connack.session_present);
  const Properties& properties = connack.properties;
  EXPECT_EQ(properties.number(PropertyId::kSessionExpiryInterval), 0U);
  EXPECT_EQ(properties.number(PropertyId::kReceiveMaximum), 7U);
  EXPECT_EQ(properties.number(PropertyId::kMaximumQos), 1U);
  EXPECT_EQ(properties.number(PropertyId::kRetainAvailable), 0U);
  EXPECT_EQ(properties.number(PropertyId::kWildcardSubscriptionAvailable), 0U);
  EXPECT_EQ(properties.number(PropertyId::kSubscriptionIdentifierAvailable), 0U);
  EXPECT_EQ(properties.number(PropertyId::kSharedSubscriptionAvailable), 0U);
  EXPECT_EQ(properties.number(PropertyId::kMaximumPacketSize), 5000U);
  EXPECT_EQ(properties.number(PropertyId::kTopicAliasMaximum), 3U);
  EXPECT_EQ(properties.number(PropertyId::kServerKeepAlive), 100U);
  EXPECT_EQ(properties.text(PropertyId::kAssignedClientIdentifier), "given-1");
  EXPECT_EQ(wire.connection.deadline(), wire.now + 150s);
}

TEST(ServerConnection, WhatComesBehindConnectWaitsForTheAnswer) {
  Wire wire;
  std::string bytes;
  encode(Connect{}, bytes);
  encode(Version::k5, Publish{"t", "p", Qos::kAtLeastOnce, false, false, 1, {}}, bytes);
  ASSERT_TRUE(std::holds_alternative<ConnectRequested>(wire.send(bytes)));
  EXPECT_TRUE(wire.connection.blocked());
  EXPECT_EQ(wire.connection.deadline(), std::nullopt);
  EXPECT_TRUE(nothing(wire.send("")));
  wire.accept();
  EXPECT_TRUE(std::holds_alternative<PublishReceived>(wire.send("")));
  EXPECT_TRUE(wire.pending.empty());
}

TEST(ServerConnection, PublishIsGivenWithItsProperties) {
  Wire wire;
  wire.connect_and_accept(Version::k5);
  PropertyWriter writer;
  writer.add(PropertyId::kContentType, "application/json").add_user("message-id", "m-1");
  const Event event = wire.publish(5, "devices/m/telemetry", "{}", writer.view());
  const auto* received = std::get_if<PublishReceived>(&event);
  ASSERT_NE(received, nullptr);
  EXPECT_EQ(received->publish.topic, "devices/m/telemetry");
  EXPECT_EQ(received->publish.payload, "{}");
  EXPECT_EQ(received->publish.packet_id, 5);
  EXPECT_EQ(received->publish.properties.user("message-id"), "m-1");
  EXPECT_EQ(received->publish.properties.text(PropertyId::kContentType), "application/json");
  EXPECT_TRUE(wire.connection.output().empty()) << "PUBACK before the owner's answer";
}

// 3.1.1 [MQTT-4.6.0-2]; [MQTT-4.3.2-4]
TEST(ServerConnection, PubacksLeaveInPublishOrder) {
  for (const Version version : {Version::k311, Version::k5}) {
    Wire wire;
    wire.connect_and_accept(version);
    for (const std::uint16_t id : {std::uint16_t{3}, std::uint16_t{1}, std::uint16_t{2}})
      ASSERT_TRUE(std::holds_alternative<PublishReceived>(wire.publish(id)));
    EXPECT_TRUE(wire.connection.acknowledge(2));
    EXPECT_TRUE(wire.connection.acknowledge(1));
    EXPECT_TRUE(wire.connection.output().empty());
    EXPECT_EQ(wire.connection.in_flight(), 3U);
    EXPECT_FALSE(wire.connection.acknowledge(1)) << "answered twice";
    EXPECT_TRUE(wire.connection.acknowledge(3));
    EXPECT_EQ(wire.pubacks(), (std::vector<std::uint16_t>{3, 1, 2}));
    EXPECT_EQ(wire.connection.in_flight(), 0U);
    EXPECT_FALSE(wire.connection.acknowledge(3));
  }
}

TEST(ServerConnection, PubacksKeepOrderUnderAnyOrderOfAnswers) {
  std::mt19937 random(7);
  Wire wire;
  wire.connect_and_accept(Version::k5);
  std::vector<std::uint16_t> sent;
  std::vector<std::uint16_t> unanswered;
  std::vector<std::uint16_t> acknowledged;
  std::uint16_t id = 65'000;
  for (int step = 0; step < 20'000; ++step) {
    if (unanswered.size() < 700 && random() % 2 == 0) {
      id = id == 65'535 ? 1 : static_cast<std::uint16_t>(id + 1);
      if (std::ranges::find(unanswered, id) != unanswered.end() || wire.connection.in_flight() >= 1000) continue;
      ASSERT_TRUE(std::holds_alternative<PublishReceived>(wire.publish(id)));
      sent.push_back(id);
      unanswered.push_back(id);
    } else if (!unanswered.empty()) {
      const auto at =
          unanswered.begin() + static_cast<std::ptrdiff_t>(random() % std::min<std::size_t>(40, unanswered.size()));
      ASSERT_TRUE(wire.connection.acknowledge(*at));
      unanswered.erase(at);
    }
    for (const std::uint16_t acked : wire.pubacks()) acknowledged.push_back(acked);
  }
  while (!unanswered.empty()) {
    ASSERT_TRUE(wire.connection.acknowledge(unanswered.back()));
    unanswered.pop_back();
  }
  for (const std::uint16_t acked : wire.pubacks()) acknowledged.push_back(acked);
  EXPECT_GT(sent.size(), 5000U);
  EXPECT_EQ(acknowledged, sent);
  EXPECT_EQ(wire.connection.repeated_in_flight(), 0U);
}

TEST(ServerConnection, PubackCarriesReasonAndReceipt) {
  Wire wire;
  wire.connect_and_accept(Version::k5);
  ASSERT_TRUE(std::holds_alternative<PublishReceived>(wire.publish(1)));
  const UserProperty receipt{"receipt", "3:4711"};
  wire.connection.acknowledge(1, {R::kPayloadFormatInvalid, "bad JSON at byte 3", {&receipt, 1}});
  const auto ack = wire.receive<Ack>(PacketType::kPuback);
  EXPECT_EQ(ack.reason, R::kPayloadFormatInvalid);
  EXPECT_EQ(ack.properties.user("receipt"), "3:4711");
  EXPECT_EQ(ack.properties.text(PropertyId::kReasonString), "bad JSON at byte 3");
}

TEST(ServerConnection, PubackLeavesOutWhatTheClientDoesNotWantOrCannotTake) {
  PropertyWriter no_problem_information, small, tiny;
  no_problem_information.add(PropertyId::kRequestProblemInformation, 0U);
  small.add(PropertyId::kMaximumPacketSize, 10U);
  tiny.add(PropertyId::kMaximumPacketSize, 3U);
  const UserProperty receipt{"receipt", "3:4711"};
  for (const PropertyWriter* writer : {&no_problem_information, &small}) {
    ServerOptions options;
    Wire wire(options);
    wire.connect_and_accept(Version::k5, no_problem_information.view());
    if (writer == &small) {
      // CONNACK would not fit a client of 10 bytes, so that such a client is turned away.
      Wire other;
      Connect connect;
      connect.client_id = "c";
      connect.properties = small.view();
      ASSERT_TRUE(std::holds_alternative<ConnectRequested>(other.connect(connect)));
      other.accept();
      EXPECT_EQ(other.connection.state(), ConnectionState::kClosed);
      EXPECT_TRUE(other.connection.output().empty());
      continue;
    }
    ASSERT_TRUE(std::holds_alternative<PublishReceived>(wire.publish(1)));
    wire.connection.acknowledge(1, {R::kSuccess, "text", {&receipt, 1}});
    EXPECT_EQ(wire.connection.output(), std::string("\x40\x02\x00\x01", 4));
  }
  PropertyWriter fits_connack;
  fits_connack.add(PropertyId::kMaximumPacketSize, 40U);
  Wire wire;
  wire.connect_and_accept(Version::k5, fits_connack.view());
  ASSERT_TRUE(std::holds_alternative<PublishReceived>(wire.publish(1)));
  wire.connection.acknowledge(1, {R::kSuccess, std::string(60, 'r'), {}});
  EXPECT_EQ(wire.connection.output(), std::string("\x40\x02\x00\x01", 4));
}

TEST(ServerConnection, AReasonThatPubackCannotCarryIsReplaced) {
  Wire wire;
  wire.connect_and_accept(Version::k5);
  ASSERT_TRUE(std::holds_alternative<PublishReceived>(wire.publish(1)));
  wire.connection.acknowledge(1, {R::kPacketTooLarge, {}, {}});
  EXPECT_EQ(wire.receive<Ack>(PacketType::kPuback).reason, R::kImplementationSpecificError);
}

TEST(ServerConnection, AnIdInFlightIsTheSameMessage) {
  for (const Version version : {Version::k311, Version::k5}) {
    Wire wire;
    wire.connect_and_accept(version);
    ASSERT_TRUE(std::holds_alternative<PublishReceived>(wire.publish(1)));
    EXPECT_TRUE(nothing(wire.send(Publish{"t", "p", Qos::kAtLeastOnce, true, false, 1, {}})));
    EXPECT_EQ(wire.connection.repeated_in_flight(), 1U);
    EXPECT_EQ(wire.connection.in_flight(), 1U);
    wire.connection.acknowledge(1);
    EXPECT_EQ(wire.pubacks(), std::vector<std::uint16_t>{1});
    EXPECT_TRUE(std::holds_alternative<PublishReceived>(wire.publish(1))) << "after its PUBACK the id is a new message";
  }
}

// [MQTT-3.3.4-7]
TEST(ServerConnection, ReceiveMaximumIsEnforcedOn5AndHoldsReadingOn311) {
  ServerOptions options;
  options.receive_maximum = 2;
  Wire five(options);
  five.connect_and_accept(Version::k5);
  five.publish(1);
  five.publish(2);
  EXPECT_FALSE(five.connection.blocked());
  expect_closed(five.publish(3), CloseCause::kProtocolError, R::kReceiveMaximumExceeded);
  EXPECT_EQ(five.receive<Disconnect>(PacketType::kDisconnect).reason, R::kReceiveMaximumExceeded);

  Wire three(options);
  three.connect_and_accept(Version::k311, {}, 10);
  three.publish(1);
  three.publish(2);
  EXPECT_TRUE(three.connection.blocked());
  EXPECT_EQ(three.connection.deadline(), std::nullopt) << "who is not read cannot be late";
  EXPECT_TRUE(nothing(three.publish(3)));
  EXPECT_FALSE(three.pending.empty());
  three.now += 1h;
  EXPECT_TRUE(nothing(three.connection.on_timer(three.now)));
  three.connection.acknowledge(1);
  EXPECT_TRUE(nothing(three.connection.on_timer(three.now))) << "the keep alive starts again with the reading";
  EXPECT_TRUE(std::holds_alternative<PublishReceived>(three.send("")));
  EXPECT_TRUE(three.pending.empty());
}

TEST(ServerConnection, HoldStopsAndResumeGoesOn) {
  Wire wire;
  wire.connect_and_accept(Version::k5, {}, 10);
  wire.connection.hold();
  EXPECT_TRUE(nothing(wire.publish(1)));
  EXPECT_EQ(wire.connection.deadline(), std::nullopt);
  wire.now += 1h;
  wire.connection.resume(wire.now);
  EXPECT_TRUE(std::holds_alternative<PublishReceived>(wire.send("")));
  EXPECT_EQ(wire.connection.deadline(), wire.now + 15s);
}

TEST(ServerConnection, TopicAliasesAreResolved) {
  Wire wire;
  wire.connect_and_accept(Version::k5);
  PropertyWriter two;
  two.add(PropertyId::kTopicAlias, 2U);
  wire.publish(0, "first", "", two.view());
  const Event event = wire.publish(0, "", "", two.view());
  ASSERT_TRUE(std::holds_alternative<PublishReceived>(event));
  EXPECT_EQ(std::get<PublishReceived>(event).publish.topic, "first");
  wire.publish(0, "second", "", two.view());
  const Event changed = wire.publish(0, "", "", two.view());
  EXPECT_EQ(std::get<PublishReceived>(changed).publish.topic, "second");
}

TEST(ServerConnection, PingsAreAnswered) {
  Wire wire;
  wire.connect_and_accept(Version::k311);
  EXPECT_TRUE(nothing(wire.send(std::string_view("\xC0\x00", 2))));
  EXPECT_EQ(wire.connection.output(), std::string("\xD0\x00", 2));
}

// [MQTT-3.1.2-22], 3.1.1 [MQTT-3.1.2-24]
TEST(ServerConnection, KeepAliveEndsAfterOneAndAHalf) {
  for (const Version version : {Version::k311, Version::k5}) {
    Wire wire;
    wire.connect_and_accept(version, {}, 10);
    EXPECT_EQ(wire.connection.deadline(), wire.now + 15s);
    wire.now += 14s;
    wire.send(std::string_view("\xC0\x00", 2));
    wire.connection.output().clear();
    EXPECT_EQ(wire.connection.deadline(), wire.now + 15s);
    wire.now += 14999ms;
    EXPECT_TRUE(nothing(wire.connection.on_timer(wire.now)));
    wire.now += 1ms;
    expect_closed(wire.connection.on_timer(wire.now), CloseCause::kKeepAliveTimeout, R::kKeepAliveTimeout);
    EXPECT_TRUE(nothing(wire.connection.on_timer(wire.now))) << "told once";
    if (version == Version::k311) {
      EXPECT_TRUE(wire.connection.output().empty());
    } else {
      EXPECT_EQ(wire.receive<Disconnect>(PacketType::kDisconnect).reason, R::kKeepAliveTimeout);
    }
  }
}

TEST(ServerConnection, AHalfPacketKeepsNobodyAlive) {
  Wire wire;
  wire.connect_and_accept(Version::k311, {}, 10);
  const auto due = wire.connection.deadline();
  wire.now += 5s;
  wire.send(std::string_view("\x30\x7F", 2));
  EXPECT_EQ(wire.connection.deadline(), due);
}

TEST(ServerConnection, ConnectMustComeInTime) {
  Wire wire;
  EXPECT_EQ(wire.connection.deadline(), wire.now + 10s);
  wire.now += 10s;
  expect_closed(wire.connection.on_timer(wire.now), CloseCause::kConnectTimeout, R::kUnspecifiedError);
  EXPECT_TRUE(wire.connection.output().empty());
}

TEST(ServerConnection, ClientDisconnectEndsIt) {
  for (const Version version : {Version::k311, Version::k5}) {
    Wire wire;
    wire.connect_and_accept(version);
    expect_closed(wire.send(Disconnect{}), CloseCause::kClientDisconnect, R::kSuccess);
    EXPECT_TRUE(wire.connection.output().empty());
    EXPECT_TRUE(nothing(wire.publish(1))) << "nothing after DISCONNECT";
  }
  Wire wire;
  wire.connect_and_accept(Version::k5);
  expect_closed(wire.send(Disconnect{R::kDisconnectWithWill, {}}), CloseCause::kClientDisconnect,
                R::kDisconnectWithWill);
}

TEST(ServerConnection, OwnerEndsIt) {
  Wire five;
  five.connect_and_accept(Version::k5);
  five.connection.disconnect(R::kServerShuttingDown, "drain");
  const auto disconnect = five.receive<Disconnect>(PacketType::kDisconnect);
  EXPECT_EQ(disconnect.reason, R::kServerShuttingDown);
  EXPECT_EQ(disconnect.properties.text(PropertyId::kReasonString), "drain");
  EXPECT_EQ(five.connection.state(), ConnectionState::kClosed);
  Wire three;
  three.connect_and_accept(Version::k311);
  three.connection.disconnect(R::kServerShuttingDown);
  EXPECT_TRUE(three.connection.output().empty());
}

// [MQTT-4.2.0-1]
TEST(ServerConnection, TheSameEventsWhetherBytesComeAtOnceOrOneByOne) {
  std::string bytes;
  Connect connect;
  connect.client_id = "c";
  encode(connect, bytes);
  for (std::uint16_t id = 1; id <= 20; ++id) {
    encode(Version::k5,
           Publish{"t/" + std::to_string(id), std::string(id * 10, 'x'), Qos::kAtLeastOnce, false, false, id, {}},
           bytes);
    encode_pingreq(bytes);
  }
  const auto run = [&](std::size_t step) {
    Wire wire;
    std::string log;
    for (std::size_t at = 0; at < bytes.size(); at += step) {
      for (Event event = wire.send(bytes.substr(at, step)); !nothing(event); event = wire.send("")) {
        if (std::holds_alternative<ConnectRequested>(event)) wire.accept();
        if (const auto* received = std::get_if<PublishReceived>(&event)) {
          log += received->publish.topic;
          log += received->publish.payload;
          wire.connection.acknowledge(received->publish.packet_id);
        }
      }
    }
    return log + wire.connection.output();
  };
  const std::string at_once = run(bytes.size());
  EXPECT_GT(at_once.size(), 2000U);
  for (const std::size_t step : {1UL, 2UL, 3UL, 7UL, 100UL}) EXPECT_TRUE(run(step) == at_once) << step;
}

}  // namespace
}  // namespace millrace::mqtt
