// Who gets which message, and how: sections 3.3, 3.8, 3.10 and 4.8.2.
#include "broker_harness.hpp"

namespace millrace::mqtt::testing {
namespace {

constexpr Qos k0 = Qos::kAtMostOnce;
constexpr Qos k1 = Qos::kAtLeastOnce;
constexpr Qos k2 = Qos::kExactlyOnce;

TEST(BrokerSubscription, AMessageReachesEverybodyWhoseFilterMatches) {
  World world;
  Client a(world, "a");
  Client b(world, "b");
  Client c(world, "c");
  EXPECT_EQ(a.subscribe("t/1"), R::kGrantedQos1);
  EXPECT_EQ(b.subscribe("t/+", k2), R::kGrantedQos2);
  EXPECT_EQ(c.subscribe("u/#", k0), R::kSuccess);  // [MQTT-3.8.4-7]
  const auto published = world.publish(message("t/1", "x"));
  EXPECT_EQ(published.matched, 2U);
  EXPECT_EQ(a.receive(), (std::vector<Received>{{"t/1", "x", k1}}));  // [MQTT-4.5.0-1]
  EXPECT_EQ(b.receive(), (std::vector<Received>{{"t/1", "x", k1}}));  // [MQTT-3.3.2-3]
  EXPECT_TRUE(c.receive().empty());
  EXPECT_EQ(a.wakes, 0) << "it has never found its queue empty before";
  world.publish(message("t/1", "y"));
  EXPECT_EQ(a.wakes, 1);
  const auto counts = world.broker.counts();
  EXPECT_EQ(counts.sessions, 3U);
  EXPECT_EQ(counts.connected, 3U);
  EXPECT_EQ(counts.subscriptions, 3U);
  EXPECT_EQ(counts.published, 2U);
  EXPECT_EQ(counts.delivered, 4U);
}

TEST(BrokerSubscription, NobodyMatches) {
  World world;
  Client a(world, "a");
  a.subscribe("t");
  EXPECT_EQ(world.publish(message("T", "x")).matched, 0U);
  EXPECT_EQ(world.publish(message("$SYS/t", "x")).matched, 0U);
}

TEST(BrokerSubscription, QosIsTheSmallerOfMessageAndSubscription) {
  for (const Qos granted : {k0, k1, k2}) {
    for (const Qos sent : {k0, k1, k2}) {
      World world;
      Client a(world, "a");
      a.subscribe("t", granted);
      world.publish(message("t", "x", sent));
      // [MQTT-3.8.4-8], 3.1.1 [MQTT-3.8.4-6]
      EXPECT_EQ(a.receive(), (std::vector<Received>{{"t", "x", std::min(granted, sent)}}));
    }
  }
}

TEST(BrokerSubscription, OverlappingOnesGiveOneCopyAtTheHighestQosWithAllIdentifiers) {
  World world;
  Client a(world, "a");
  a.subscribe("t/#", k0, 11);
  a.subscribe("t/+", k2, 22);
  a.subscribe("t/1", k1);
  a.subscribe("u/1", k1, 33);
  world.publish(message("t/1", "x", k2));
  // [MQTT-3.3.4-2], [MQTT-3.3.4-3], [MQTT-3.3.4-4], 3.1.1 [MQTT-3.3.5-1]
  EXPECT_EQ(a.receive(), (std::vector<Received>{{"t/1", "x", k2, false, {11, 22}}}));
  world.publish(message("u/1", "y"));
  EXPECT_EQ(a.receive(), (std::vector<Received>{{"u/1", "y", k1, false, {33}}}));
}

TEST(BrokerSubscription, OverlapsOfManySessionsAreNotMixedUp) {
  World world;
  std::vector<std::unique_ptr<Client>> clients;
  for (std::uint32_t i = 0; i < 20; ++i) {
    clients.push_back(std::make_unique<Client>(world, "c" + std::to_string(i)));
    clients.back()->subscribe("t/1", k1, i + 1);
    if (i % 2 == 0) clients.back()->subscribe("t/+", k2, i + 101);
    if (i % 3 == 0) clients.back()->subscribe("#", k0, i + 201);
  }
  EXPECT_EQ(world.publish(message("t/1", "x", k2)).matched, 20U);
  for (std::uint32_t i = 0; i < 20; ++i) {
    std::vector<std::uint32_t> ids{i + 1};
    if (i % 2 == 0) ids.push_back(i + 101);
    if (i % 3 == 0) ids.push_back(i + 201);
    EXPECT_EQ(clients[i]->receive(), (std::vector<Received>{{"t/1", "x", i % 2 == 0 ? k2 : k1, false, ids}}));
  }
}

TEST(BrokerSubscription, TheSameFilterAgainReplaces) {
  World world;
  Client a(world, "a");
  a.subscribe("t", k0, 1);
  a.subscribe("t", k2, 2);
  EXPECT_EQ(world.broker.counts().subscriptions, 1U);
  world.publish(message("t", "x", k2));
  EXPECT_EQ(a.receive(), (std::vector<Received>{{"t", "x", k2, false, {2}}}));  // [MQTT-3.8.4-3]
  a.subscribe("t", k1);
  world.publish(message("t", "x", k2));
  EXPECT_EQ(a.receive(), (std::vector<Received>{{"t", "x", k1}}));
}

TEST(BrokerSubscription, ReplacingLosesNoMessageThatWaits) {
  World world;
  Client a(world, "a");
  a.subscribe("t");
  world.publish(message("t", "1"));
  a.subscribe("t", k2);
  world.publish(message("t", "2"));
  EXPECT_EQ(a.texts(), (Texts{"1", "2"}));  // [MQTT-3.8.4-4]
}

TEST(BrokerSubscription, NoLocalIsAMatterOfEachSubscription) {
  World world;
  Client a(world, "a");
  Client b(world, "b");
  Subscription mine;
  mine.filter = "t/+";
  mine.maximum_qos = k1;
  mine.no_local = true;
  a.subscribe(mine, 1);
  b.subscribe(mine, 1);
  EXPECT_EQ(a.publish(message("t/1", "x")).matched, 1U);
  EXPECT_TRUE(a.receive().empty());  // [MQTT-3.8.3-3]
  EXPECT_EQ(b.texts(), Texts{"x"});
  a.subscribe("t/1", k1, 2);
  a.publish(message("t/1", "y"));
  EXPECT_EQ(a.receive(), (std::vector<Received>{{"t/1", "y", k1, false, {2}}})) << "by the other subscription only";
  world.publish(message("t/2", "z"));
  EXPECT_EQ(a.texts(), Texts{"z"}) << "the server itself is nobody's client";
}

TEST(BrokerSubscription, NoLocalGoesByClientIdAndCoversRetainedMessages) {
  World world;
  Client old(world, "a");
  const std::shared_ptr<Session> before = old.connected.session;
  Client fresh(world, "a");
  Subscription mine;
  mine.filter = "#";
  mine.no_local = true;
  fresh.subscribe(mine);
  world.publish(message("t", "late"), before.get());
  EXPECT_TRUE(fresh.receive().empty());  // [MQTT-3.8.3-3]
  fresh.publish(retained("t", "own"));
  world.publish(retained("u", "foreign"));
  EXPECT_EQ(fresh.texts(), Texts{"foreign"});
  fresh.subscribe(mine);
  EXPECT_EQ(fresh.texts(), Texts{"foreign"});
}

TEST(BrokerSubscription, UnsubscribeStopsNewMessagesAndKeepsThoseThatWait) {
  World world;
  Client a(world, "a");
  a.subscribe("t/+");
  world.publish(message("t/1", "1"));
  EXPECT_EQ(a.unsubscribe("t/1"), R::kNoSubscriptionExisted);  // [MQTT-3.10.4-1]: as it is written
  EXPECT_EQ(a.unsubscribe("t/+"), R::kSuccess);
  EXPECT_EQ(a.unsubscribe("t/+"), R::kNoSubscriptionExisted);
  EXPECT_EQ(a.unsubscribe("t+"), R::kTopicFilterInvalid);
  EXPECT_EQ(world.publish(message("t/1", "2")).matched, 0U);  // [MQTT-3.10.4-2]
  EXPECT_EQ(a.texts(), Texts{"1"});                           // [MQTT-3.10.4-3]
  EXPECT_EQ(world.broker.counts().subscriptions, 0U);
}

TEST(BrokerSubscription, LimitsAndBadFilters) {
  BrokerLimits limits;
  limits.maximum_subscriptions_per_session = 2;
  limits.maximum_subscriptions = 3;
  limits.maximum_filter_bytes = 300;
  World world(limits);
  Client a(world, "a");
  Client b(world, "b");
  EXPECT_EQ(a.subscribe("a#"), R::kTopicFilterInvalid);         // [MQTT-4.7.1-1]
  EXPECT_EQ(a.subscribe("a/b+"), R::kTopicFilterInvalid);       // [MQTT-4.7.1-2]
  EXPECT_EQ(a.subscribe("$share/g"), R::kTopicFilterInvalid);   // [MQTT-4.8.2-2]
  EXPECT_EQ(a.subscribe("$share//a"), R::kTopicFilterInvalid);  // [MQTT-4.8.2-1]
  EXPECT_EQ(a.subscribe(std::string(301, 'a')), R::kQuotaExceeded);
  EXPECT_EQ(a.subscribe(std::string(128, '/')), R::kQuotaExceeded) << "129 levels";
  EXPECT_EQ(a.subscribe(std::string(127, '/')), R::kGrantedQos1);
  EXPECT_EQ(a.subscribe("$share/g/" + std::string(127, '/')), R::kGrantedQos1);
  EXPECT_EQ(a.subscribe("c"), R::kQuotaExceeded);
  EXPECT_EQ(a.subscribe(std::string(127, '/')), R::kGrantedQos1) << "not a new one";
  EXPECT_EQ(b.subscribe("c"), R::kGrantedQos1);
  EXPECT_EQ(b.subscribe("d"), R::kQuotaExceeded);
  EXPECT_EQ(world.broker.counts().subscriptions, 3U);
  a.disconnect();
  EXPECT_EQ(world.broker.counts().subscriptions, 1U);
  EXPECT_EQ(b.subscribe("d"), R::kGrantedQos1);
  EXPECT_EQ(world.broker.subscribe(a.session(), {"t"}, 0, world.now), R::kUnspecifiedError);
  EXPECT_EQ(world.broker.unsubscribe(a.session(), "t"), R::kNoSubscriptionExisted);
}

TEST(BrokerSubscription, MessagesOfAPublisherStayInOrder) {
  World world;
  Client a(world, "a");
  a.subscribe("t/#", k2);
  a.subscribe("t/1", k1);
  Texts wanted;
  for (int i = 0; i < 100; ++i) {
    world.publish(message("t/1", std::to_string(i), i % 2 == 0 ? k1 : k2));
    wanted.push_back(std::to_string(i));
  }
  EXPECT_EQ(a.texts(), wanted);  // [MQTT-4.6.0-5], [MQTT-4.6.0-6]
}

TEST(BrokerSubscription, QosZeroIsNotKeptForTheAbsent) {
  World world;
  Client a(world, "a", {.clean_start = false, .session_expiry_s = 60});
  a.subscribe("t", k0);
  a.subscribe("u", k1);
  a.drop();
  EXPECT_EQ(world.publish(message("t", "1")).matched, 1U);
  world.publish(message("u", "2", k0));
  world.publish(message("u", "3"));
  EXPECT_EQ(world.broker.counts().dropped_qos0, 2U);
  Client again(world, "a", {.clean_start = false});
  EXPECT_EQ(again.texts(), Texts{"3"});  // [MQTT-3.1.2-5]
}

TEST(BrokerSubscription, AnExpiredMessageIsNotDelivered) {
  World world;
  Client a(world, "a");
  a.subscribe("t");
  world.publish(expiring(message("t", "short"), world.now + 5s));
  world.publish(expiring(message("t", "long"), world.now + 50s));
  world.now += 10s;
  EXPECT_EQ(a.texts(), Texts{"long"});  // [MQTT-3.3.2-5]
}

// --- shared subscriptions ---

TEST(BrokerShared, OneMemberGetsEachMessageInTurn) {
  World world;
  Client a(world, "a");
  Client b(world, "b");
  Client c(world, "c");
  for (Client* one : {&a, &b, &c}) one->subscribe("$share/g/t/+");
  for (int i = 0; i < 9; ++i) EXPECT_EQ(world.publish(message("t/1", std::to_string(i))).matched, 1U);
  EXPECT_EQ(a.texts(), (Texts{"0", "3", "6"}));
  EXPECT_EQ(b.texts(), (Texts{"1", "4", "7"}));
  EXPECT_EQ(c.texts(), (Texts{"2", "5", "8"}));
}

TEST(BrokerShared, GroupsAndOrdinarySubscriptionsAreApart) {
  World world;
  Client a(world, "a");
  Client b(world, "b");
  a.subscribe("$share/g/t", k1, 1);
  a.subscribe("$share/h/t", k1, 2);
  a.subscribe("$share/g/#", k1, 3);
  a.subscribe("t", k1, 4);
  a.subscribe("#", k1, 5);
  b.subscribe("$share/g/t", k1, 6);
  EXPECT_EQ(world.publish(message("t", "x")).matched, 4U);
  EXPECT_EQ(world.publish(message("t", "x")).matched, 4U);
  std::vector<std::vector<std::uint32_t>> ids;
  for (const auto& one : a.receive()) ids.push_back(one.ids);
  std::ranges::sort(ids);
  EXPECT_EQ(ids, (std::vector<std::vector<std::uint32_t>>{{1}, {2}, {2}, {3}, {3}, {4, 5}, {4, 5}}));
  EXPECT_EQ(b.receive(), (std::vector<Received>{{"t", "x", k1, false, {6}}}));
  EXPECT_EQ(a.unsubscribe("$share/g/t"), R::kSuccess);
  EXPECT_EQ(a.unsubscribe("$share/g/t"), R::kNoSubscriptionExisted);
  a.unsubscribe("t");
  world.publish(message("t", "y"));
  EXPECT_EQ(b.texts(), Texts{"y"});
}

TEST(BrokerShared, EachMembersQosIsRespected) {
  World world;
  Client a(world, "a");
  Client b(world, "b");
  a.subscribe("$share/g/t", k0);
  b.subscribe("$share/g/t", k2);
  for (int i = 0; i < 4; ++i) world.publish(message("t", "x", k2));
  for (const auto& one : a.receive()) EXPECT_EQ(one.qos, k0);  // [MQTT-4.8.2-3]
  for (const auto& one : b.receive()) EXPECT_EQ(one.qos, k2);
}

TEST(BrokerShared, AbsentMembersGetNothingWhileSomebodyIsThere) {
  World world;
  Client a(world, "a", {.clean_start = false, .session_expiry_s = kForEver});
  Client b(world, "b", {.clean_start = false, .session_expiry_s = kForEver});
  Client c(world, "c", {.clean_start = false, .session_expiry_s = kForEver});
  a.subscribe("$share/g/t");
  b.subscribe("$share/g/t");
  c.subscribe("$share/g/t", k0);
  a.drop();
  c.drop();
  for (int i = 0; i < 4; ++i) world.publish(message("t", std::to_string(i)));
  EXPECT_EQ(b.texts(), (Texts{"0", "1", "2", "3"}));
  b.drop();
  for (int i = 4; i < 8; ++i) EXPECT_EQ(world.publish(message("t", std::to_string(i))).matched, 1U);
  world.publish(message("t", "lost", k0));
  EXPECT_EQ(world.broker.counts().dropped_qos0, 1U);
  Client a2(world, "a", {.clean_start = false, .session_expiry_s = kForEver});
  Client b2(world, "b", {.clean_start = false, .session_expiry_s = kForEver});
  Client c2(world, "c", {.clean_start = false, .session_expiry_s = kForEver});
  Texts all = a2.texts();
  for (const auto& text : b2.texts()) all.push_back(text);
  EXPECT_EQ(sorted(all), (Texts{"4", "5", "6", "7"}));
  EXPECT_TRUE(c2.receive().empty()) << "granted QoS 0: nothing waits for it";
}

TEST(BrokerShared, WhoHasNoRoomIsPassedOver) {
  BrokerLimits limits;
  limits.session.maximum_messages = 2;
  World world(limits);
  Client a(world, "a");
  Client b(world, "b");
  a.subscribe("$share/g/t");
  b.subscribe("$share/g/t");
  a.subscribe("only/a");
  world.publish(message("only/a", "x"));
  world.publish(message("only/a", "x"));
  world.publish(message("t", "1"));
  world.publish(message("t", "2"));
  EXPECT_EQ(b.texts(), (Texts{"1", "2"}));
  EXPECT_TRUE(a.ends.empty());
  EXPECT_EQ(world.broker.counts().sessions_overflowed, 0U);
}

TEST(BrokerShared, WhenNobodyHasRoomTheGapIsTold) {
  BrokerLimits limits;
  limits.session.maximum_messages = 2;
  World world(limits);
  Client a(world, "a");
  Client b(world, "b");
  Client c(world, "c", {.clean_start = false, .session_expiry_s = kForEver});
  for (Client* one : {&a, &b, &c}) one->subscribe("$share/g/t");
  c.drop();
  for (int i = 0; i < 6; ++i) world.publish(message("t", std::to_string(i)));
  EXPECT_TRUE(a.ends.empty() && b.ends.empty()) << "the absent one has taken two";
  EXPECT_EQ(world.publish(message("t", "6")).matched, 1U);
  EXPECT_EQ(a.ends.size() + b.ends.size(), 1U);
  EXPECT_EQ(world.broker.counts().sessions_overflowed, 1U);
  EXPECT_EQ(world.broker.counts().sessions, 2U);
}

TEST(BrokerShared, WhatWasGivenToAMemberStaysWithIt) {
  World world;
  Client a(world, "a", {.clean_start = false, .session_expiry_s = kForEver});
  Client b(world, "b");
  a.subscribe("$share/g/t", k2);
  b.subscribe("$share/g/t", k2);
  world.publish(message("t", "1", k2));
  const auto sent = a.session().next_outgoing(a.connected.attachment, world.now);
  EXPECT_EQ(sent.delivery.qos, k2);
  a.drop();
  EXPECT_TRUE(b.receive().empty());
  Client again(world, "a", {.clean_start = false, .session_expiry_s = kForEver});
  EXPECT_EQ(again.texts(), Texts{"1"});  // [MQTT-4.8.2-4]
  world.publish(message("t", "2", k2));
  EXPECT_EQ(b.texts(), Texts{"2"});
  world.publish(message("t", "3", k2));
  const auto refused = again.session().next_outgoing(again.connected.attachment, world.now);
  again.session().on_pubrec(again.connected.attachment, refused.packet_id, R::kQuotaExceeded);
  EXPECT_TRUE(b.receive().empty());  // [MQTT-4.8.2-6]
  world.publish(message("t", "4", k2));
  world.publish(message("t", "5", k2));
  again.disconnect(0);
  EXPECT_EQ(b.texts(), Texts{"4"});  // [MQTT-4.8.2-5]: its session has ended, and nobody else gets its message
}

}  // namespace
}  // namespace millrace::mqtt::testing
