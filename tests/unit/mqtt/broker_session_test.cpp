// Connecting, taking over, session expiry, overflow: sections 3.1.2.4, 3.1.2.11.2, 3.1.4, 3.14 and 4.1.
#include "broker_harness.hpp"

namespace millrace::mqtt::testing {
namespace {

using Ends = std::vector<ReasonCode>;
constexpr Qos k0 = Qos::kAtMostOnce;

TEST(BrokerSession, IsNewWhereThereWasNone) {
  World world;
  for (const bool clean_start : {true, false}) {
    Client a(world, "a" + std::to_string(clean_start ? 1 : 0), {.clean_start = clean_start});
    EXPECT_FALSE(a.session_present());  // [MQTT-3.1.2-6], [MQTT-3.2.2-3]
    EXPECT_TRUE(a.session().attached());
  }
}

TEST(BrokerSession, GoesByTheClientId) {
  World world;
  Client a(world, "a", {.clean_start = false, .session_expiry_s = 10});
  a.drop();
  Client other(world, "A", {.clean_start = false});
  EXPECT_FALSE(other.session_present());  // [MQTT-3.1.3-2]
  Client again(world, "a", {.clean_start = false});
  EXPECT_TRUE(again.session_present());  // [MQTT-3.1.3-2]
}

TEST(BrokerSession, GoesOnWithSubscriptionsAndMessages) {
  World world;
  Client a(world, "a", {.clean_start = false, .session_expiry_s = 10});
  a.subscribe("t");
  world.publish(message("t", "1"));
  a.drop();
  EXPECT_EQ(world.broker.counts().sessions, 1U);
  EXPECT_EQ(world.broker.counts().connected, 0U);
  world.publish(message("t", "2"));
  world.pass(9s);
  Client again(world, "a", {.clean_start = false, .session_expiry_s = 10});
  EXPECT_TRUE(again.session_present());  // [MQTT-3.2.2-3]
  EXPECT_EQ(again.connected.session, a.connected.session);
  world.publish(message("t", "3"));
  EXPECT_EQ(again.texts(), (Texts{"1", "2", "3"}));  // [MQTT-3.1.2-5], [MQTT-3.1.2-23], [MQTT-4.5.0-1]
  world.pass(1h);
  EXPECT_EQ(world.broker.counts().sessions, 1U);  // [MQTT-4.1.0-1]: no expiry while connected
}

TEST(BrokerSession, CleanStartDiscardsTheOldOne) {
  World world;
  Client a(world, "a", {.clean_start = false, .session_expiry_s = kForEver});
  a.subscribe("t");
  world.publish(message("t", "1"));
  a.drop();
  Client again(world, "a", {.clean_start = true, .session_expiry_s = kForEver});
  EXPECT_FALSE(again.session_present());  // [MQTT-3.1.2-4], [MQTT-3.2.2-2], 3.1.1 [MQTT-3.1.2-6]
  EXPECT_EQ(world.publish(message("t", "2")).matched, 0U);
  EXPECT_TRUE(again.receive().empty());
  EXPECT_EQ(world.broker.counts().subscriptions, 0U);  // [MQTT-3.1.4-4]
}

TEST(BrokerSession, WithExpiryZeroEndsWithItsConnection) {
  World world;
  Client a(world, "a", {.clean_start = false, .session_expiry_s = 0});
  a.subscribe("t");
  a.drop();
  EXPECT_EQ(world.broker.counts().sessions, 0U);  // [MQTT-4.1.0-2]
  EXPECT_FALSE(world.broker.deadline());
  Client again(world, "a", {.clean_start = false});
  EXPECT_FALSE(again.session_present());
}

TEST(BrokerSession, ExpiresInTime) {
  World world;
  const TimePoint start = world.now;
  Client a(world, "a", {.clean_start = false, .session_expiry_s = 10});
  Client b(world, "b", {.clean_start = false, .session_expiry_s = 20});
  Client c(world, "c", {.clean_start = false, .session_expiry_s = kForEver});
  EXPECT_FALSE(world.broker.deadline());
  a.drop();
  b.drop();
  c.drop();
  EXPECT_EQ(world.broker.deadline(), start + 10s);
  world.pass(10s - 1ns);
  EXPECT_EQ(world.broker.counts().sessions, 3U);
  world.pass(1ns);
  EXPECT_EQ(world.broker.counts().sessions, 2U);
  EXPECT_EQ(world.broker.deadline(), start + 20s);
  world.pass(24h * 365 * 100);
  EXPECT_EQ(world.broker.counts().sessions, 1U) << "for ever is for ever";
  EXPECT_EQ(world.broker.counts().sessions_expired, 2U);
  EXPECT_FALSE(world.broker.deadline());
}

TEST(BrokerSession, ALateTimerDoesNotProlongIt) {
  World world;
  Client a(world, "a", {.clean_start = false, .session_expiry_s = 10});
  a.drop();
  world.now += 10s;
  Client again(world, "a", {.clean_start = false});
  EXPECT_FALSE(again.session_present());  // [MQTT-4.1.0-2]
  EXPECT_EQ(world.broker.counts().sessions_expired, 1U);
}

TEST(BrokerSession, ReconnectingStopsTheClock) {
  World world;
  Client a(world, "a", {.clean_start = false, .session_expiry_s = 10});
  a.drop();
  world.pass(9s);
  Client b(world, "a", {.clean_start = false, .session_expiry_s = 5});
  EXPECT_FALSE(world.broker.deadline());
  world.pass(9s);
  b.drop();
  EXPECT_EQ(world.broker.deadline(), world.now + 5s) << "the new connection's expiry";
}

TEST(BrokerSession, DisconnectMayChangeTheExpiry) {
  World world;
  Client a(world, "a", {.clean_start = false, .session_expiry_s = 10});
  a.disconnect(100);
  EXPECT_EQ(world.broker.deadline(), world.now + 100s);
  Client b(world, "a", {.clean_start = false, .session_expiry_s = 10});
  EXPECT_TRUE(b.session_present());
  b.disconnect(0);
  EXPECT_EQ(world.broker.counts().sessions, 0U);  // section 3.14.2.2.2
}

TEST(BrokerSession, IsTakenOver) {
  World world;
  Client a(world, "a", {.clean_start = false, .session_expiry_s = 10});
  a.subscribe("t");
  world.publish(message("t", "1"));
  Client b(world, "a", {.clean_start = false, .session_expiry_s = 10});
  EXPECT_EQ(a.ends, Ends{R::kSessionTakenOver});  // [MQTT-3.1.4-3], 3.1.1 [MQTT-3.1.4-2]
  EXPECT_TRUE(b.session_present());
  EXPECT_TRUE(a.receive().empty());
  EXPECT_EQ(b.texts(), Texts{"1"});
  a.drop();  // what the old connection still does is without effect
  a.disconnect(0);
  EXPECT_EQ(world.broker.counts().connected, 1U);
  world.publish(message("t", "2"));
  EXPECT_EQ(b.texts(), Texts{"2"});
  EXPECT_TRUE(b.ends.empty());
  EXPECT_EQ(a.ends.size(), 1U);
}

TEST(BrokerSession, IsTakenOverWithACleanStart) {
  World world;
  Client a(world, "a", {.clean_start = false, .session_expiry_s = 10});
  a.subscribe("t");
  Client b(world, "a");
  EXPECT_EQ(a.ends, Ends{R::kSessionTakenOver});
  EXPECT_FALSE(b.session_present());
  EXPECT_NE(a.connected.session, b.connected.session);
  EXPECT_EQ(a.subscribe("u"), R::kUnspecifiedError);
  EXPECT_EQ(world.publish(message("t", "1")).matched, 0U);
  a.drop();
  EXPECT_EQ(world.broker.counts().connected, 1U);
}

TEST(BrokerSession, OneThatEndsWithItsConnectionIsNotHandedOver) {
  World world;
  Client a(world, "a", {.clean_start = true, .session_expiry_s = 0});
  a.subscribe("t");
  Client b(world, "a", {.clean_start = false, .session_expiry_s = 10});
  EXPECT_EQ(a.ends, Ends{R::kSessionTakenOver});
  EXPECT_FALSE(b.session_present());  // 3.1.1 [MQTT-3.1.2-6]: such state must not be reused
}

TEST(BrokerSession, ThereIsALimit) {
  BrokerLimits limits;
  limits.maximum_sessions = 2;
  World world(limits);
  Client a(world, "a", {.clean_start = false, .session_expiry_s = 10});
  Client b(world, "b");
  Client c(world, "c");
  EXPECT_EQ(c.connected.session, nullptr);
  EXPECT_EQ(c.connected.most, 2U);
  Client b2(world, "b");
  EXPECT_NE(b2.connected.session, nullptr) << "its own place";
  a.drop();
  Client c2(world, "c");
  EXPECT_EQ(c2.connected.session, nullptr) << "a session without a connection counts";
  world.pass(10s);
  Client c3(world, "c");
  EXPECT_NE(c3.connected.session, nullptr);
  EXPECT_EQ(world.broker.counts().sessions, 2U);
}

// --- overflow ---

BrokerLimits small_queue() {
  BrokerLimits limits;
  limits.session.maximum_messages = 3;
  return limits;
}

TEST(BrokerOverflow, EndsTheSessionSoThatNoGapIsSilent) {
  World world(small_queue());
  Client slow(world, "slow", {.clean_start = false, .session_expiry_s = kForEver});
  Client other(world, "other");
  slow.subscribe("t");
  other.subscribe("t");
  for (int i = 0; i < 3; ++i) world.publish(message("t", std::to_string(i)));
  EXPECT_EQ(other.texts(), (Texts{"0", "1", "2"}));
  EXPECT_EQ(world.publish(message("t", "3")).matched, 2U);
  EXPECT_EQ(slow.ends, Ends{R::kQuotaExceeded});
  EXPECT_TRUE(slow.receive().empty()) << "nothing after the gap";
  EXPECT_EQ(other.texts(), Texts{"3"});
  EXPECT_EQ(world.broker.counts().sessions_overflowed, 1U);
  EXPECT_EQ(world.broker.counts().sessions, 1U);
  EXPECT_EQ(world.publish(message("t", "4")).matched, 1U);
  slow.drop();
  Client again(world, "slow", {.clean_start = false, .session_expiry_s = kForEver});
  EXPECT_FALSE(again.session_present());
}

TEST(BrokerOverflow, OfAnAbsentSession) {
  World world(small_queue());
  Client a(world, "a", {.clean_start = false, .session_expiry_s = 10});
  a.subscribe("t");
  a.drop();
  for (int i = 0; i < 4; ++i) world.publish(message("t", "x"));
  EXPECT_TRUE(a.ends.empty());
  EXPECT_EQ(world.broker.counts().sessions, 0U);
  EXPECT_FALSE(world.broker.deadline());
  Client again(world, "a", {.clean_start = false});
  EXPECT_FALSE(again.session_present());
}

TEST(BrokerOverflow, QosZeroIsDroppedAndCounted) {
  World world(small_queue());
  Client a(world, "a");
  a.subscribe("t", k0);
  for (int i = 0; i < 10; ++i) world.publish(message("t", "x"));
  EXPECT_TRUE(a.ends.empty());
  const auto counts = world.broker.counts();
  EXPECT_EQ(counts.delivered + counts.dropped_qos0, 10U);
  EXPECT_GT(counts.dropped_qos0, 0U);
}

TEST(BrokerOverflow, ACallbackMayConnectAgain) {
  World world(small_queue());
  std::unique_ptr<Client> again;
  Client a(world, "a", {.clean_start = false, .session_expiry_s = kForEver, .on_end = [&](ReasonCode) {
                          again = std::make_unique<Client>(world, "a", Client::Options{.clean_start = false});
                          again->subscribe("t");
                        }});
  a.subscribe("t");
  for (int i = 0; i < 4; ++i) world.publish(message("t", std::to_string(i)));
  ASSERT_TRUE(again);
  EXPECT_FALSE(again->session_present());
  world.publish(message("t", "after"));
  EXPECT_EQ(again->texts(), Texts{"after"});
}

TEST(BrokerOverflow, AConnectionThatComesInBetweenIsToldToo) {
  World world(small_queue());
  std::unique_ptr<Client> again;
  Client waker(world, "w", {.on_wake = [&] {
                 // Runs when the message has been put out, before the full session is ended.
                 again = std::make_unique<Client>(world, "a",
                                                  Client::Options{.clean_start = false, .session_expiry_s = kForEver});
               }});
  waker.subscribe("last");
  EXPECT_TRUE(waker.receive().empty());
  Client a(world, "a", {.clean_start = false, .session_expiry_s = kForEver});
  a.subscribe("#");
  for (int i = 0; i < 3; ++i) world.publish(message("t", "x"));
  EXPECT_FALSE(again);
  world.publish(message("last", "x"));
  ASSERT_TRUE(again);
  EXPECT_EQ(a.ends, Ends{R::kQuotaExceeded});
  EXPECT_FALSE(again->session_present());
  EXPECT_EQ(world.broker.counts().sessions_overflowed, 1U);
  EXPECT_TRUE(again->ends.empty()) << "the new session has no gap";
}

}  // namespace
}  // namespace millrace::mqtt::testing
