// Retained messages: sections 3.3.1.3, 3.8.3.1 and 3.8.4.
#include "broker_harness.hpp"

namespace millrace::mqtt::testing {
namespace {

constexpr Qos k0 = Qos::kAtMostOnce;
constexpr Qos k1 = Qos::kAtLeastOnce;
constexpr Qos k2 = Qos::kExactlyOnce;

Subscription with(std::string_view filter, RetainHandling handling) {
  Subscription subscription;
  subscription.filter = filter;
  subscription.maximum_qos = k1;
  subscription.retain_handling = handling;
  return subscription;
}

TEST(BrokerRetained, TheLastOneOfATopicIsForLaterSubscribers) {
  World world;
  world.publish(retained("t/1", "old"));
  world.publish(retained("t/1", "new", k2));
  world.publish(retained("t/2", "two", k0));
  world.publish(message("t/3", "passing"));
  Client a(world, "a");
  EXPECT_EQ(a.subscribe("t/1", k1, 5), R::kGrantedQos1);
  // [MQTT-3.3.1-5], [MQTT-3.8.4-8]; 3.1.1 [MQTT-3.3.1-8]: the flag says that it was kept
  EXPECT_EQ(a.receive(), (std::vector<Received>{{"t/1", "new", k1, true, {5}}}));
  a.subscribe("+/2");
  EXPECT_EQ(a.receive(), (std::vector<Received>{{"t/2", "two", k0, true}}));
  Client b(world, "b");
  b.subscribe("#");
  EXPECT_EQ(sorted(b.texts()), (Texts{"new", "two"}));  // [MQTT-3.3.1-8]
  EXPECT_EQ(world.broker.counts().retained, 2U);
}

TEST(BrokerRetained, AnEmptyPayloadDeletesAndIsPassedOn) {
  World world;
  Client a(world, "a");
  a.subscribe("t");
  world.publish(retained("t", "x"));
  EXPECT_EQ(world.publish(retained("t", "")).matched, 1U);
  EXPECT_EQ(a.texts(), (Texts{"x", ""}));  // [MQTT-3.3.1-6]: processed normally
  a.subscribe("t");
  EXPECT_TRUE(a.receive().empty());  // [MQTT-3.3.1-6], [MQTT-3.3.1-7]; 3.1.1 [MQTT-3.3.1-10], [MQTT-3.3.1-11]
  EXPECT_EQ(world.broker.counts().retained, 0U);
  EXPECT_EQ(world.broker.counts().retained_bytes, 0U);
  world.publish(message("t", ""));
  world.publish(retained("t", "y"));
  world.publish(message("t", ""));
  a.receive();
  a.subscribe("t");
  EXPECT_EQ(a.texts(), Texts{"y"});  // [MQTT-3.3.1-8]: without the flag nothing is removed
}

TEST(BrokerRetained, RetainHandling) {
  World world;
  world.publish(retained("t", "x"));
  Client a(world, "a", {.clean_start = false, .session_expiry_s = 60});
  a.subscribe(with("t", RetainHandling::kDoNotSend));
  EXPECT_TRUE(a.receive().empty());  // [MQTT-3.3.1-11]
  a.subscribe(with("t", RetainHandling::kSendIfNew));
  EXPECT_TRUE(a.receive().empty());  // [MQTT-3.3.1-10]
  a.subscribe(with("t", RetainHandling::kSend));
  EXPECT_EQ(a.texts(), Texts{"x"});  // [MQTT-3.3.1-9], [MQTT-3.8.4-4]
  a.unsubscribe("t");
  a.subscribe(with("t", RetainHandling::kSendIfNew));
  EXPECT_EQ(a.texts(), Texts{"x"});  // [MQTT-3.3.1-10]
  a.drop();
  Client again(world, "a", {.clean_start = false});
  again.subscribe(with("t", RetainHandling::kSendIfNew));
  EXPECT_TRUE(again.receive().empty()) << "the session has had it";
}

TEST(BrokerRetained, OutlivesTheSessionOfItsPublisher) {
  World world;
  Client a(world, "a");
  a.publish(retained("t", "x"));
  a.disconnect();
  EXPECT_EQ(world.broker.counts().sessions, 0U);
  Client b(world, "b");
  b.subscribe("t");
  EXPECT_EQ(b.texts(), Texts{"x"});  // 3.1.1 [MQTT-3.1.2-7]
}

TEST(BrokerRetained, TheFlagOfLiveMessagesIsTheSubscribersChoice) {
  World world;
  Client a(world, "a");
  Client b(world, "b");
  a.subscribe("t");
  Subscription as_published = with("t", RetainHandling::kSend);
  as_published.retain_as_published = true;
  b.subscribe(as_published);
  world.publish(retained("t", "r"));
  world.publish(message("t", "m"));
  // [MQTT-3.3.1-12], 3.1.1 [MQTT-3.3.1-9]
  EXPECT_EQ(a.receive(), (std::vector<Received>{{"t", "r", k1, false}, {"t", "m", k1, false}}));
  // [MQTT-3.3.1-13]
  EXPECT_EQ(b.receive(), (std::vector<Received>{{"t", "r", k1, true}, {"t", "m", k1, false}}));
  b.subscribe("t/#");
  EXPECT_EQ(b.receive(), (std::vector<Received>{{"t", "r", k1, true}})) << "always set on one that was kept";
}

TEST(BrokerRetained, NotForSharedSubscriptions) {
  World world;
  world.publish(retained("t", "x"));
  Client a(world, "a");
  a.subscribe("$share/g/t");
  EXPECT_TRUE(a.receive().empty());  // section 4.8.2
}

TEST(BrokerRetained, DollarTopicsAreNotForLeadingWildcards) {
  World world;
  world.publish(retained("$SYS/up", "1"));
  world.publish(retained("t/$x", "2"));
  Client a(world, "a");
  a.subscribe("#");
  EXPECT_EQ(a.texts(), Texts{"2"});  // [MQTT-4.7.2-1]
  a.subscribe("+/up");
  EXPECT_TRUE(a.receive().empty());
  a.subscribe("$SYS/+");
  EXPECT_EQ(a.texts(), Texts{"1"});
}

TEST(BrokerRetained, Expires) {
  World world;
  world.publish(expiring(retained("t/1", "short"), world.now + 5s));
  world.publish(expiring(retained("t/2", "long"), world.now + 50s));
  Client a(world, "a");
  a.subscribe("t/+");
  EXPECT_EQ(sorted(a.texts()), (Texts{"long", "short"}));
  world.now += 5s;
  a.subscribe("t/+");
  EXPECT_EQ(a.texts(), Texts{"long"});  // [MQTT-3.3.2-5]
  EXPECT_EQ(world.broker.counts().retained, 1U);
  world.pass(50s);
  EXPECT_EQ(world.broker.counts().retained, 0U);
  world.publish(retained("t/1", "stays"));
  world.publish(expiring(retained("t/1", "now"), world.now));
  EXPECT_EQ(world.broker.counts().retained, 0U) << "it has replaced the other, and is over";
}

TEST(BrokerRetained, Limits) {
  BrokerLimits limits;
  limits.maximum_retained_messages = 2;
  limits.maximum_retained_bytes = 10'000;
  World world(limits);
  EXPECT_FALSE(world.publish(retained("a", "1")).retained_full);
  EXPECT_FALSE(world.publish(retained("b", "1")).retained_full);
  Client client(world, "c");
  client.subscribe("c");
  const auto third = world.publish(retained("c", "1"));
  EXPECT_TRUE(third.retained_full);
  EXPECT_EQ(third.matched, 1U);
  EXPECT_EQ(client.texts(), Texts{"1"}) << "delivered all the same";
  EXPECT_FALSE(world.publish(retained("a", "2")).retained_full) << "a replacement needs no room";
  EXPECT_TRUE(world.publish(retained("a", std::string(10'000, 'x'))).retained_full);
  EXPECT_EQ(world.broker.counts().retained, 1U) << "an old value must not pass for the present one";
  EXPECT_TRUE(world.publish(retained(std::string(128, '/'), "1")).retained_full) << "129 levels";
  EXPECT_FALSE(world.publish(retained(std::string(127, '/'), "1")).retained_full);
  world.publish(retained("b", ""));
  world.publish(retained(std::string(127, '/'), ""));
  EXPECT_EQ(world.broker.counts().retained_bytes, 0U);
}

TEST(BrokerRetained, ExpiredOnesMakeRoom) {
  BrokerLimits limits;
  limits.maximum_retained_messages = 1;
  World world(limits);
  world.publish(expiring(retained("a", "1"), world.now + 5s));
  EXPECT_TRUE(world.publish(retained("b", "1")).retained_full);
  world.now += 5s;
  EXPECT_FALSE(world.publish(retained("b", "1")).retained_full);
}

TEST(BrokerRetained, ASubscriptionWithMoreThanTheQueueHoldsIsRefusedAsAWhole) {
  BrokerLimits limits;
  limits.session.maximum_messages = 4;
  World world(limits);
  for (int i = 0; i < 5; ++i) world.publish(retained("t/" + std::to_string(i), "x"));
  Client a(world, "a");
  EXPECT_EQ(a.subscribe("t/+"), R::kQuotaExceeded);
  EXPECT_EQ(world.broker.counts().subscriptions, 0U);
  EXPECT_TRUE(a.receive().empty());
  EXPECT_EQ(a.subscribe(with("t/+", RetainHandling::kDoNotSend)), R::kGrantedQos1);
  world.publish(retained("t/0", ""));
  a.receive();
  EXPECT_EQ(a.subscribe("t/+"), R::kGrantedQos1) << "four fit";
  EXPECT_EQ(a.receive().size(), 4U);
  EXPECT_EQ(a.subscribe("t/+", k0), R::kQuotaExceeded) << "QoS 0 has half the queue";
  world.publish(message("t/9", "x"));
  EXPECT_EQ(a.receive()[0].qos, k1) << "the old subscription is untouched";
  EXPECT_TRUE(a.ends.empty());
}

TEST(BrokerRetained, ProvidesTheMessageUnaltered) {
  World world;
  Message made = *retained("t", "x");
  made.properties = "\x01\x01";
  const MessagePtr original = std::make_shared<Message>(std::move(made));
  world.publish(original);
  Client a(world, "a");
  a.subscribe("t");
  const auto next = a.session().next_outgoing(a.connected.attachment, world.now);
  EXPECT_EQ(next.delivery.message, original)
      << "[MQTT-3.3.2-4], [MQTT-3.3.2-15] to [MQTT-3.3.2-18], [MQTT-3.3.2-20]: shared, so unaltered";
}

}  // namespace
}  // namespace millrace::mqtt::testing
