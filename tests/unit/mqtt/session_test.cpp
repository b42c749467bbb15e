// The Session State alone: what is queued, sent again, answered, and taken from the client.
#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <millrace/mqtt/session.hpp>

namespace millrace::mqtt {
namespace {

using namespace std::chrono_literals;
using Kind = Session::Outgoing::Kind;
using Offer = Session::Offer;
using Taking = Session::Taking;

const TimePoint kNow{1h};

Delivery delivery(std::string payload, Qos qos, std::optional<TimePoint> expires_at = {}) {
  auto message = std::make_shared<Message>();
  message->topic = "t";
  message->payload = std::move(payload);
  message->qos = qos;
  message->expires_at = expires_at;
  return {message, qos, false, {}};
}

class SessionTest : public ::testing::Test {
 protected:
  Session::Attachment attach(std::uint16_t receive_maximum = 65535) {
    at = session.attach({[this] { ++wakes; }, receive_maximum});
    return at;
  }
  Offer offer(std::string payload, Qos qos = Qos::kAtLeastOnce) {
    return session.offer(delivery(std::move(payload), qos), kNow);
  }
  Session::Outgoing next() { return session.next_outgoing(at, kNow); }
  /// Payload, or "PUBREL", or "" for nothing.
  std::string sent() {
    const auto outgoing = next();
    last = outgoing.packet_id;
    if (outgoing.kind == Kind::kPubrel) return "PUBREL";
    return outgoing.kind == Kind::kNone ? "" : (outgoing.dup ? "dup " : "") + outgoing.delivery.message->payload;
  }

  Session session{"meter", {10, 100'000}};
  Session::Attachment at = 0;
  std::uint16_t last = 0;
  int wakes = 0;
};

TEST_F(SessionTest, KeepsQos1And2WithoutAConnectionAndDropsQos0) {
  EXPECT_EQ(session.client_id(), "meter");
  EXPECT_FALSE(session.attached());
  EXPECT_EQ(offer("a", Qos::kAtMostOnce), Offer::kDropped);
  EXPECT_EQ(offer("b", Qos::kAtLeastOnce), Offer::kQueued);
  EXPECT_EQ(offer("c", Qos::kExactlyOnce), Offer::kQueued);
  attach();
  EXPECT_TRUE(session.attached());
  EXPECT_EQ(offer("d", Qos::kAtMostOnce), Offer::kQueued);
  EXPECT_EQ(sent(), "b");
  EXPECT_EQ(last, 1);
  EXPECT_EQ(sent(), "c");
  EXPECT_EQ(last, 2);
  EXPECT_EQ(sent(), "d");
  EXPECT_EQ(last, 0);
  EXPECT_EQ(sent(), "");
  EXPECT_EQ(session.load().in_flight, 2U);
  EXPECT_EQ(session.load().queued, 0U);
}

TEST_F(SessionTest, DetachDropsWaitingQos0) {
  attach();
  offer("a", Qos::kAtMostOnce);
  offer("b");
  offer("c", Qos::kAtMostOnce);
  session.detach(at);
  EXPECT_EQ(session.load().queued, 1U);
  attach();
  EXPECT_EQ(sent(), "b");
  session.on_puback(at, last);
  EXPECT_EQ(session.load().bytes, 0U);
}

TEST_F(SessionTest, SendsAgainInOrderBeforeAnythingNew) {
  attach();
  offer("a");
  offer("b", Qos::kExactlyOnce);
  offer("c", Qos::kExactlyOnce);
  offer("d");
  for (const char* payload : {"a", "b", "c", "d"}) EXPECT_EQ(sent(), payload);
  EXPECT_TRUE(session.on_pubrec(at, 3, ReasonCode::kSuccess));
  offer("e");
  session.detach(at);
  attach();
  // [MQTT-4.4.0-1] [MQTT-3.3.1-1] [MQTT-4.6.0-1]: original ids, DUP, the old order
  EXPECT_EQ(sent(), "dup a");
  EXPECT_EQ(last, 1);
  EXPECT_EQ(sent(), "dup b");
  EXPECT_EQ(last, 2);
  EXPECT_EQ(sent(), "PUBREL");
  EXPECT_EQ(last, 3);
  EXPECT_EQ(sent(), "dup d");
  EXPECT_EQ(sent(), "e");
  EXPECT_EQ(last, 5);
  EXPECT_EQ(sent(), "") << "nothing is sent twice over one connection";
}

TEST_F(SessionTest, WhatIsAnsweredMeanwhileIsNotSentAgain) {
  attach();
  for (const char* payload : {"a", "b", "c"}) offer(payload);
  for (int i = 0; i < 3; ++i) sent();
  session.on_puback(at, 2);
  attach();
  EXPECT_EQ(sent(), "dup a");
  EXPECT_TRUE(session.on_puback(at, 1));
  EXPECT_EQ(sent(), "dup c");
  EXPECT_TRUE(session.on_puback(at, 3));
  EXPECT_EQ(sent(), "");
  EXPECT_EQ(session.load().bytes, 0U);
}

TEST_F(SessionTest, ReceiveMaximumHoldsUpUntilAnswered) {
  attach(2);
  for (const char* payload : {"a", "b", "c", "d"}) offer(payload, Qos::kExactlyOnce);
  EXPECT_EQ(sent(), "a");
  EXPECT_EQ(sent(), "b");
  EXPECT_EQ(sent(), "") << "[MQTT-3.3.4-9]";
  session.on_pubrec(at, 1, ReasonCode::kSuccess);
  EXPECT_EQ(sent(), "") << "PUBREC alone makes no room";
  session.on_pubcomp(at, 1);
  EXPECT_EQ(sent(), "c");
  session.on_pubrec(at, 2, ReasonCode::kQuotaExceeded);
  EXPECT_EQ(sent(), "d") << "a failed PUBREC does";
}

TEST_F(SessionTest, ReceiveMaximumIsThatOfThePresentConnection) {
  attach();
  for (const char* payload : {"a", "b", "c"}) offer(payload, Qos::kExactlyOnce);
  for (int i = 0; i < 3; ++i) sent();
  session.on_pubrec(at, 1, ReasonCode::kSuccess);
  attach(1);
  offer("d");
  EXPECT_EQ(sent(), "PUBREL") << "no PUBLISH, no quota";
  EXPECT_EQ(sent(), "dup b");
  EXPECT_EQ(sent(), "");
  EXPECT_TRUE(session.on_pubcomp(at, 1));
  EXPECT_EQ(sent(), "") << "its PUBLISH was not counted here";
  session.on_pubrec(at, 2, ReasonCode::kUnspecifiedError);
  EXPECT_EQ(sent(), "dup c");
  EXPECT_EQ(sent(), "");
  session.on_pubrec(at, 3, ReasonCode::kUnspecifiedError);
  EXPECT_EQ(sent(), "d");
}

TEST_F(SessionTest, AnswersMustFit) {
  attach();
  offer("a");
  offer("b", Qos::kExactlyOnce);
  sent();
  sent();
  EXPECT_FALSE(session.on_puback(at, 3));
  EXPECT_FALSE(session.on_puback(at, 2)) << "QoS 2";
  EXPECT_FALSE(session.on_pubrec(at, 1, ReasonCode::kSuccess)) << "QoS 1";
  EXPECT_FALSE(session.on_pubcomp(at, 2)) << "before PUBREC";
  EXPECT_TRUE(session.on_pubrec(at, 2, ReasonCode::kSuccess));
  EXPECT_TRUE(session.on_pubrec(at, 2, ReasonCode::kSuccess)) << "again: PUBREL again";
  EXPECT_TRUE(session.on_pubcomp(at, 2));
  EXPECT_FALSE(session.on_pubcomp(at, 2));
  EXPECT_TRUE(session.on_puback(at, 1));
  EXPECT_FALSE(session.on_puback(at, 1));
  EXPECT_FALSE(session.on_puback(at, 0));
  EXPECT_EQ(session.load().in_flight, 0U);
  EXPECT_EQ(session.load().bytes, 0U);
}

TEST_F(SessionTest, PacketIdsInUseAreNotGivenAgain) {
  attach();
  offer("kept");
  EXPECT_EQ(sent(), "kept");
  for (int i = 0; i < 65'534; ++i) {
    ASSERT_EQ(offer("x"), Offer::kQueued);
    ASSERT_EQ(sent(), "x");
    ASSERT_EQ(last, i + 2);
    ASSERT_TRUE(session.on_puback(at, last));
  }
  offer("y");
  EXPECT_EQ(sent(), "") << "[MQTT-2.2.1-4]: the next id in turn is still in use";
  EXPECT_TRUE(session.on_puback(at, 1));
  EXPECT_EQ(sent(), "y");
  EXPECT_EQ(last, 1);
}

TEST_F(SessionTest, NoRoomIsAnOverflowForQos1And2AndADropForQos0) {
  attach();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(offer("x", Qos::kAtMostOnce), Offer::kQueued);
  EXPECT_EQ(offer("x", Qos::kAtMostOnce), Offer::kDropped) << "QoS 0 has half of the room";
  for (int i = 0; i < 5; ++i) EXPECT_EQ(offer("x"), Offer::kQueued);
  EXPECT_EQ(offer("x"), Offer::kOverflow);
  EXPECT_EQ(session.load().queued, 10U);
  while (!sent().empty()) {
  }
  EXPECT_EQ(session.load().in_flight, 5U);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(offer("x"), Offer::kQueued);
  EXPECT_EQ(offer("x"), Offer::kOverflow) << "in flight counts";
}

TEST_F(SessionTest, BytesAreBoundedToo) {
  attach();
  EXPECT_EQ(offer(std::string(60'000, 'x'), Qos::kAtMostOnce), Offer::kDropped);
  EXPECT_EQ(offer(std::string(60'000, 'x')), Offer::kQueued);
  EXPECT_EQ(offer(std::string(60'000, 'x')), Offer::kOverflow);
  sent();
  EXPECT_EQ(offer(std::string(60'000, 'x')), Offer::kOverflow) << "in flight counts";
  session.on_puback(at, last);
  EXPECT_EQ(offer(std::string(60'000, 'x')), Offer::kQueued);
}

TEST_F(SessionTest, ExpiredMessagesAreNotSent) {
  attach();
  session.offer(delivery("short", Qos::kAtLeastOnce, kNow + 1s), kNow);
  session.offer(delivery("long", Qos::kAtLeastOnce, kNow + 10s), kNow);
  const auto outgoing = session.next_outgoing(at, kNow + 1s);
  EXPECT_EQ(outgoing.delivery.message->payload, "long") << "[MQTT-3.3.2-5]";
  EXPECT_EQ(session.load().queued, 0U);
  attach();
  EXPECT_EQ(session.next_outgoing(at, kNow + 1h).delivery.message->payload, "long")
      << "its delivery has begun, so it is completed";
}

TEST_F(SessionTest, ExpiredMessagesMakeRoom) {
  for (int i = 0; i < 9; ++i) session.offer(delivery("x", Qos::kAtLeastOnce, kNow + 1s), kNow);
  session.offer(delivery("lasting", Qos::kAtLeastOnce), kNow);
  EXPECT_EQ(session.offer(delivery("y", Qos::kAtLeastOnce), kNow), Offer::kOverflow);
  EXPECT_EQ(session.offer(delivery("y", Qos::kAtLeastOnce), kNow + 1s), Offer::kQueued);
  EXPECT_EQ(session.load().queued, 2U);
  attach();
  EXPECT_EQ(sent(), "lasting");
  EXPECT_EQ(sent(), "y");
}

TEST_F(SessionTest, DiscardFreesTheId) {
  attach(1);
  offer("large");
  offer("b");
  EXPECT_EQ(sent(), "large");
  session.discard_outgoing(at, last);
  EXPECT_EQ(sent(), "b");
  session.discard_outgoing(at, 0);
  EXPECT_EQ(session.load().in_flight, 1U);
  attach();
  EXPECT_EQ(sent(), "dup b");
}

TEST_F(SessionTest, WakesOnceWhenTheQueueWasFoundEmpty) {
  attach();
  offer("a");
  EXPECT_EQ(wakes, 0) << "the first look is the connection's own";
  EXPECT_EQ(sent(), "a");
  offer("b");
  EXPECT_EQ(wakes, 0);
  EXPECT_EQ(sent(), "b");
  EXPECT_EQ(sent(), "");
  offer("c");
  EXPECT_EQ(wakes, 1);
  offer("d");
  EXPECT_EQ(wakes, 1);
  session.detach(at);
  offer("e");
  EXPECT_EQ(wakes, 1);
}

TEST_F(SessionTest, AnEarlierAttachmentChangesNothing) {
  const auto before = attach();
  offer("a");
  offer("b", Qos::kExactlyOnce);
  sent();
  sent();
  EXPECT_EQ(session.begin_taking(before, 9), Taking::kNew);
  session.take(9);
  attach();
  EXPECT_GT(at, before);
  EXPECT_EQ(session.next_outgoing(before, kNow).kind, Kind::kNone);
  EXPECT_FALSE(session.on_puback(before, 1));
  EXPECT_FALSE(session.on_pubrec(before, 2, ReasonCode::kSuccess));
  EXPECT_FALSE(session.release(before, 9));
  EXPECT_EQ(session.begin_taking(before, 10), Taking::kUnsettled);
  session.discard_outgoing(before, 1);
  session.detach(before);
  EXPECT_TRUE(session.attached());
  EXPECT_EQ(sent(), "dup a");
  EXPECT_EQ(sent(), "dup b");
  EXPECT_EQ(session.awaiting_release(), 1U);
  EXPECT_EQ(session.begin_taking(at, 10), Taking::kNew);
  EXPECT_FALSE(session.on_puback(0, 1)) << "0 is nobody";
}

TEST_F(SessionTest, AQos2IdIsTakenOnceUntilReleased) {
  attach();
  EXPECT_EQ(session.begin_taking(at, 7), Taking::kNew);
  EXPECT_FALSE(session.release(at, 7)) << "not taken yet";
  session.take(7);
  EXPECT_EQ(session.begin_taking(at, 7), Taking::kTaken);
  session.detach(at);
  attach();
  EXPECT_EQ(session.begin_taking(at, 7), Taking::kTaken) << "[MQTT-4.3.3-10]: also over the next connection";
  EXPECT_EQ(session.awaiting_release(), 1U);
  EXPECT_TRUE(session.release(at, 7));
  EXPECT_FALSE(session.release(at, 7));
  EXPECT_EQ(session.awaiting_release(), 0U);
  EXPECT_EQ(session.begin_taking(at, 7), Taking::kNew) << "[MQTT-4.3.3-12]: a new message";
  session.abandon(7);
  EXPECT_EQ(session.begin_taking(at, 7), Taking::kNew) << "[MQTT-4.3.3-9]: so it is after a refusal";
}

TEST_F(SessionTest, ARepetitionOverTheNextConnectionWaitsForTheFirstOutcome) {
  const auto before = attach();
  EXPECT_EQ(session.begin_taking(before, 7), Taking::kNew);
  EXPECT_EQ(session.begin_taking(before, 8), Taking::kNew);
  session.detach(before);
  attach();
  EXPECT_EQ(session.begin_taking(at, 7), Taking::kUnsettled);
  EXPECT_EQ(wakes, 0);
  session.take(7);
  EXPECT_EQ(wakes, 1);
  EXPECT_EQ(session.begin_taking(at, 7), Taking::kTaken);
  EXPECT_EQ(session.begin_taking(at, 8), Taking::kUnsettled);
  session.abandon(8);
  EXPECT_EQ(wakes, 2);
  EXPECT_EQ(session.begin_taking(at, 8), Taking::kNew);
}

TEST_F(SessionTest, EveryPacketIdCanBeTaken) {
  attach();
  for (std::uint32_t id = 1; id <= 65'535; ++id) {
    ASSERT_EQ(session.begin_taking(at, static_cast<std::uint16_t>(id)), Taking::kNew);
    session.take(static_cast<std::uint16_t>(id));
  }
  EXPECT_EQ(session.awaiting_release(), 65'535U);
  for (std::uint32_t id = 65'535; id >= 1; --id) ASSERT_TRUE(session.release(at, static_cast<std::uint16_t>(id)));
  EXPECT_EQ(session.awaiting_release(), 0U);
}

/// Several threads offer while the connection changes: every QoS 1 message is sent, in the order of its publisher, and
/// nothing is lost at a takeover.
TEST(SessionThreads, OffersAndTakeoversLoseNothing) {
  constexpr int kPublishers = 3, kMessages = 3'000;
  Session session("c", {kPublishers * kMessages, 100'000'000});
  std::atomic<int> wakes{0};
  std::atomic<int> publishing{kPublishers};
  std::vector<std::jthread> publishers;
  for (int p = 0; p < kPublishers; ++p) {
    publishers.emplace_back([&, p] {
      for (int i = 0; i < kMessages; ++i) {
        const std::string payload{static_cast<char>('0' + p)};
        EXPECT_EQ(session.offer(delivery(payload + std::to_string(i), Qos::kAtLeastOnce), kNow), Offer::kQueued);
      }
      --publishing;
    });
  }
  std::vector<int> expected(kPublishers, 0);
  int connections = 0;
  while (publishing > 0 || session.load().queued + session.load().in_flight > 0) {
    const auto at = session.attach({[&wakes] { ++wakes; }, 20});
    ++connections;
    for (int i = 0; i < 200; ++i) {
      const auto outgoing = session.next_outgoing(at, kNow);
      if (outgoing.kind == Kind::kNone) break;
      if (i % 67 == 66) break;  // sent, and the connection is lost
      const std::string& payload = outgoing.delivery.message->payload;
      const auto from = static_cast<std::size_t>(payload[0] - '0');
      EXPECT_EQ(std::stoi(payload.substr(1)), expected[from]);
      ++expected[from];
      EXPECT_TRUE(session.on_puback(at, outgoing.packet_id));
    }
    if (connections % 2 == 0) session.detach(at);
  }
  EXPECT_EQ(expected, std::vector<int>(kPublishers, kMessages));
  EXPECT_EQ(session.load().bytes, 0U);
}

}  // namespace
}  // namespace millrace::mqtt
