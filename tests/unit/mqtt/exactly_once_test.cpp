// QoS 2 from the client (section 4.3.3), over one connection and over several.
#include "connection_harness.hpp"

namespace millrace::mqtt {
namespace {

using testing::expect_closed;
using testing::is;
using testing::nothing;
using testing::Wire;
using R = ReasonCode;

constexpr Version kBoth[] = {Version::k311, Version::k5};

ServerOptions receive_maximum(std::uint16_t maximum) {
  ServerOptions options;
  options.receive_maximum = maximum;
  return options;
}

TEST(ExactlyOnce, TheWholeExchange) {
  for (const Version version : kBoth) {
    Wire wire;
    wire.connect_and_accept(version);
    const Event event = wire.publish2(7);
    ASSERT_TRUE(is<PublishReceived>(event));
    EXPECT_EQ(std::get<PublishReceived>(event).publish.qos, Qos::kExactlyOnce);
    EXPECT_EQ(wire.said(), "") << "not before the owner has it";
    EXPECT_TRUE(wire.connection.acknowledge(7));
    EXPECT_EQ(wire.said(), "PUBREC 7");  // [MQTT-4.3.3-8]
    EXPECT_EQ(wire.session->awaiting_release(), 1U);
    EXPECT_TRUE(nothing(wire.ack(PacketType::kPubrel, 7)));
    EXPECT_EQ(wire.said(), "PUBCOMP 7");  // [MQTT-4.3.3-11]
    EXPECT_EQ(wire.session->awaiting_release(), 0U);
    EXPECT_TRUE(is<PublishReceived>(wire.publish2(7))) << "[MQTT-4.3.3-12]: a new message";
  }
}

TEST(ExactlyOnce, ARepetitionGetsPubrecAgainAndIsNotPassedOn) {
  for (const Version version : kBoth) {
    Wire wire;
    wire.connect_and_accept(version);
    ASSERT_TRUE(is<PublishReceived>(wire.publish2(7)));
    EXPECT_TRUE(nothing(wire.publish2(7, true))) << "[MQTT-4.3.3-10]: before PUBREC";
    EXPECT_EQ(wire.connection.repeated_in_flight(), 1U);
    wire.connection.acknowledge(7);
    EXPECT_EQ(wire.said(), "PUBREC 7");
    for (int i = 0; i < 3; ++i) {
      EXPECT_TRUE(nothing(wire.publish2(7, true))) << "[MQTT-4.3.3-10]: after PUBREC";
      EXPECT_EQ(wire.said(), "PUBREC 7");
    }
    wire.ack(PacketType::kPubrel, 7);
    EXPECT_EQ(wire.said(), "PUBCOMP 7");
    EXPECT_EQ(wire.connection.in_flight(), 0U);
  }
}

TEST(ExactlyOnce, AFailureFreesTheId) {
  Wire wire;
  wire.connect_and_accept(Version::k5);
  wire.publish2(7);
  EXPECT_TRUE(wire.connection.acknowledge(7, {R::kQuotaExceeded, "full", {}}));
  const auto pubrec = wire.receive<Ack>(PacketType::kPubrec);
  EXPECT_EQ(pubrec.reason, R::kQuotaExceeded);
  EXPECT_EQ(pubrec.properties.text(PropertyId::kReasonString), "full");
  EXPECT_EQ(wire.session->awaiting_release(), 0U);
  EXPECT_TRUE(is<PublishReceived>(wire.publish2(7))) << "[MQTT-4.3.3-9]: a new message";
}

TEST(ExactlyOnce, On311AFailureCannotBeToldSoTheIdIsTaken) {
  Wire wire;
  wire.connect_and_accept(Version::k311);
  wire.publish2(7);
  EXPECT_TRUE(wire.connection.acknowledge(7, {R::kQuotaExceeded, "full", {}}));
  EXPECT_EQ(wire.said(), "PUBREC 7");
  EXPECT_TRUE(nothing(wire.publish2(7, true)));
  EXPECT_EQ(wire.said(), "PUBREC 7");
}

TEST(ExactlyOnce, ASuccessWithAReasonIsStillASuccess) {
  Wire wire;
  wire.connect_and_accept(Version::k5);
  wire.publish2(7);
  wire.connection.acknowledge(7, {R::kNoMatchingSubscribers, {}, {}});
  EXPECT_EQ(wire.said(), "PUBREC 7 no matching subscribers");
  EXPECT_EQ(wire.session->awaiting_release(), 1U);
}

TEST(ExactlyOnce, PubrelOfAnUnknownId) {
  for (const Version version : kBoth) {
    Wire wire;
    wire.connect_and_accept(version);
    wire.ack(PacketType::kPubrel, 9);
    EXPECT_EQ(wire.said(), version == Version::k5 ? "PUBCOMP 9 packet identifier not found" : "PUBCOMP 9");
    wire.publish2(9);
    wire.ack(PacketType::kPubrel, 9);
    EXPECT_EQ(wire.said(), version == Version::k5 ? "PUBCOMP 9 packet identifier not found" : "PUBCOMP 9")
        << "before its PUBREC";
    wire.connection.acknowledge(9);
    EXPECT_EQ(wire.session->awaiting_release(), 1U);
  }
}

TEST(ExactlyOnce, AnswersOfBothKindsLeaveInTheOrderOfTheMessages) {
  for (const Version version : kBoth) {
    Wire wire;
    wire.connect_and_accept(version);
    wire.publish(3);
    wire.publish2(1);
    wire.publish(2);
    wire.publish2(4);
    EXPECT_TRUE(wire.connection.acknowledge(4));
    EXPECT_TRUE(wire.connection.acknowledge(2));
    EXPECT_TRUE(wire.connection.acknowledge(1));
    EXPECT_EQ(wire.said(), "");
    EXPECT_TRUE(wire.connection.acknowledge(3));
    // 3.1.1 [MQTT-4.6.0-2] [MQTT-4.6.0-3]
    EXPECT_EQ(wire.said(), "PUBACK 3|PUBREC 1|PUBACK 2|PUBREC 4");
  }
}

TEST(ExactlyOnce, ARepetitionsPubrecWaitsForItsTurn) {
  Wire wire;
  wire.connect_and_accept(Version::k5);
  wire.publish2(1);
  wire.connection.acknowledge(1);
  wire.said();
  wire.publish(2);
  wire.publish2(1, true);
  EXPECT_EQ(wire.said(), "");
  wire.connection.acknowledge(2);
  EXPECT_EQ(wire.said(), "PUBACK 2|PUBREC 1");
}

TEST(ExactlyOnce, ReceiveMaximumCountsUntilPubcomp) {
  Wire wire(receive_maximum(3));
  wire.connect_and_accept(Version::k5);
  wire.publish2(1);
  wire.publish2(2);
  wire.publish(3);
  wire.connection.acknowledge(1);
  wire.connection.acknowledge(2, {R::kUnspecifiedError, {}, {}});
  EXPECT_TRUE(is<PublishReceived>(wire.publish2(4))) << "a failed PUBREC makes room";
  wire.connection.acknowledge(3);
  EXPECT_TRUE(is<PublishReceived>(wire.publish(5))) << "PUBACK makes room";
  wire.ack(PacketType::kPubrel, 1);
  EXPECT_TRUE(is<PublishReceived>(wire.publish(6))) << "PUBCOMP makes room";
  expect_closed(wire.publish(7), CloseCause::kProtocolError, R::kReceiveMaximumExceeded);
}

TEST(ExactlyOnce, SuccessfulPubrecMakesNoRoom) {
  Wire wire(receive_maximum(2));
  wire.connect_and_accept(Version::k5);
  for (const std::uint16_t id : {std::uint16_t{1}, std::uint16_t{2}}) {
    wire.publish2(id);
    wire.connection.acknowledge(id);
  }
  EXPECT_EQ(wire.connection.in_flight(), 0U);
  expect_closed(wire.publish(3), CloseCause::kProtocolError, R::kReceiveMaximumExceeded);
}

TEST(ExactlyOnce, RepetitionsCountOnce) {
  Wire wire(receive_maximum(2));
  wire.connect_and_accept(Version::k5);
  wire.publish2(1);
  wire.connection.acknowledge(1);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(nothing(wire.publish2(1, true)));
  EXPECT_TRUE(is<PublishReceived>(wire.publish(2)));
}

TEST(ExactlyOnce, On311IdsThatWaitForPubrelNeverStopTheReading) {
  Wire wire(receive_maximum(2));
  wire.connect_and_accept(Version::k311);
  for (std::uint16_t id = 1; id <= 10; ++id) {
    ASSERT_TRUE(is<PublishReceived>(wire.publish2(id)));
    EXPECT_FALSE(wire.connection.blocked());
    wire.connection.acknowledge(id);
  }
  wire.said();
  wire.publish2(11);
  wire.publish2(12);
  EXPECT_TRUE(wire.connection.blocked()) << "two wait for the owner";
  EXPECT_TRUE(nothing(wire.ack(PacketType::kPubrel, 1)));
  EXPECT_EQ(wire.said(), "");
  wire.connection.acknowledge(11);
  EXPECT_TRUE(nothing(wire.send("")));
  EXPECT_EQ(wire.said(), "PUBREC 11|PUBCOMP 1");
}

TEST(ExactlyOnce, ANewConnectionKnowsWhatWasTaken) {
  for (const Version version : kBoth) {
    Wire first;
    first.connect_and_accept(version);
    first.publish2(1);
    first.publish2(2);
    first.connection.acknowledge(1);
    first.connection.acknowledge(2);
    Wire second;
    second.session = first.session;
    second.connect_and_accept(version, {}, 0, {.session_present = true, .session_expiry_s = {}, .offers = {}});
    EXPECT_TRUE(nothing(second.publish2(1, true))) << "[MQTT-4.3.3-10]";
    EXPECT_EQ(second.said(), "PUBREC 1");
    second.ack(PacketType::kPubrel, 2);
    EXPECT_EQ(second.said(), "PUBCOMP 2");
  }
}

TEST(ExactlyOnce, ExchangesOfAnEarlierConnectionAreAllowedOnTopOfTheReceiveMaximum) {
  Wire first(receive_maximum(2));
  first.connect_and_accept(Version::k5);
  first.publish2(1);
  first.connection.acknowledge(1);
  Wire second(receive_maximum(2));
  second.session = first.session;
  second.connect_and_accept(Version::k5);
  // The client ends the old exchange and counts PUBCOMP in its favour although PUBLISH went over the other connection.
  second.publish(2);
  second.publish(3);
  second.ack(PacketType::kPubrel, 1);
  EXPECT_TRUE(is<PublishReceived>(second.publish(4)));
  expect_closed(second.publish(5), CloseCause::kProtocolError, R::kReceiveMaximumExceeded);
}

/// The connection is lost between PUBLISH and the owner's answer, and the client sends the message again.
TEST(ExactlyOnce, ARepetitionOverTheNextConnectionWaitsForTheOutcome) {
  for (const Version version : kBoth) {
    for (const R outcome : {R::kSuccess, R::kQuotaExceeded}) {
      Wire first;
      first.connect_and_accept(version);
      ASSERT_TRUE(is<PublishReceived>(first.publish2(1)));
      first.connection.disconnect(R::kSessionTakenOver);
      first.connection.output().clear();
      Wire second;
      second.session = first.session;
      second.connect_and_accept(version, {}, 10);
      std::string bytes;
      encode(version, Publish{"t", "p", Qos::kExactlyOnce, true, false, 1, {}}, bytes);
      encode_pingreq(bytes);
      EXPECT_TRUE(nothing(second.send(bytes)));
      EXPECT_TRUE(second.connection.blocked());
      EXPECT_EQ(second.connection.deadline(), std::nullopt);
      EXPECT_EQ(second.pending.size(), bytes.size()) << "stays in the input";
      EXPECT_EQ(second.wakes, 0);
      EXPECT_FALSE(first.connection.acknowledge(1, {outcome, {}, {}})) << "nothing can be said any more";
      EXPECT_TRUE(first.connection.output().empty());
      EXPECT_EQ(second.wakes, 1);
      const Event event = second.send("");
      if (outcome == R::kSuccess || version == Version::k311) {
        EXPECT_TRUE(nothing(event));
        EXPECT_EQ(second.said(), "PUBREC 1|PINGRESP");
      } else {
        EXPECT_TRUE(is<PublishReceived>(event)) << "it was not taken, so it is a new one";
      }
      EXPECT_FALSE(second.connection.blocked());
    }
  }
}

TEST(ExactlyOnce, WhatIsNeverAnsweredIsAbandonedWithTheConnection) {
  Wire second;
  {
    Wire first;
    first.connect_and_accept(Version::k5);
    first.publish2(1);
    first.publish2(2);
    first.connection.acknowledge(2);
    second.session = first.session;
    second.connect_and_accept(Version::k5);
    EXPECT_TRUE(nothing(second.publish2(1, true)));
  }
  EXPECT_EQ(second.wakes, 1);
  EXPECT_TRUE(is<PublishReceived>(second.send("")));
  EXPECT_TRUE(nothing(second.publish2(2, true)));
  EXPECT_EQ(second.said(), "") << "PUBREC 2 waits behind 1";
}

TEST(ExactlyOnce, AConnectionThatWasTakenOverTakesNothingMore) {
  Wire first, second;
  first.connect_and_accept(Version::k5);
  second.session = first.session;
  second.connect_and_accept(Version::k5);
  EXPECT_TRUE(nothing(first.publish2(5)));
  EXPECT_TRUE(first.connection.blocked());
  EXPECT_TRUE(is<PublishReceived>(second.publish2(5)));
}

}  // namespace
}  // namespace millrace::mqtt
