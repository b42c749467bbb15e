// Wills: sections 3.1.2.5, 3.1.3.2 and 3.14.4.
#include "broker_harness.hpp"

namespace millrace::mqtt::testing {
namespace {

constexpr Qos k1 = Qos::kAtLeastOnce;

Client::Options lasting(std::uint32_t expiry_s, std::uint32_t delay_s, const char* text = "will") {
  return {.clean_start = false, .session_expiry_s = expiry_s, .will = message("w", text), .will_delay_s = delay_s};
}

TEST(BrokerWill, IsPublishedWhenTheConnectionFails) {
  World world;
  Client watcher(world, "watcher");
  watcher.subscribe("w");
  Client a(world, "a", lasting(0, 0));
  EXPECT_TRUE(world.wills.empty());  // [MQTT-3.1.2-7]
  a.drop();
  EXPECT_EQ(watcher.receive(), (std::vector<Received>{{"w", "will", k1}}));  // [MQTT-3.1.2-8]
  ASSERT_EQ(world.wills.size(), 1U);
  EXPECT_EQ(world.wills[0].first, "a");
  a.drop();
  Client again(world, "a");
  again.drop();
  EXPECT_EQ(world.wills.size(), 1U);  // [MQTT-3.1.2-10]: once
}

TEST(BrokerWill, GoesWhereItsConnectionSaid) {
  World world;
  std::vector<std::pair<std::string, std::string>> elsewhere;
  ConnectSpec spec;
  spec.client_id = "a";
  spec.session_expiry_s = 60;
  spec.will = message("w", "mine");
  spec.will_delay_s = 10;
  spec.will_sink = [&](const std::string& client, const MessagePtr& will) {
    elsewhere.emplace_back(client, will->payload);
  };
  const auto connected = world.broker.connect(std::move(spec), world.now);
  world.broker.disconnect(*connected.session, connected.attachment, {}, world.now);
  world.pass(10s);
  EXPECT_EQ(elsewhere, (std::vector<std::pair<std::string, std::string>>{{"a", "mine"}}));
  EXPECT_TRUE(world.wills.empty());
  Client again(world, "a", lasting(0, 0, "of the next connection"));
  again.drop();
  EXPECT_EQ(world.will_payloads(), Texts{"of the next connection"}) << "each connection has its own";
}

TEST(BrokerWill, ThereIsNoneUnlessConnectHadOne) {
  World world;
  Client a(world, "a");
  a.drop();
  EXPECT_TRUE(world.wills.empty());  // 3.1.1 [MQTT-3.1.2-12]
}

TEST(BrokerWill, IsForgottenOnDisconnect) {
  World world;
  Client a(world, "a", lasting(60, 10));
  a.disconnect();
  EXPECT_EQ(world.broker.deadline(), world.now + 60s);
  world.pass(1h);
  EXPECT_TRUE(world.wills.empty());  // [MQTT-3.14.4-3], [MQTT-3.1.2-10], 3.1.1 [MQTT-3.14.4-3]
}

TEST(BrokerWill, WaitsForItsDelay) {
  World world;
  Client a(world, "a", lasting(60, 10));
  a.drop();
  EXPECT_EQ(world.broker.deadline(), world.now + 10s);
  world.pass(10s - 1ns);
  EXPECT_TRUE(world.wills.empty());
  world.pass(1ns);
  EXPECT_EQ(world.will_payloads(), Texts{"will"});  // [MQTT-3.1.2-8]
  EXPECT_EQ(world.broker.deadline(), world.now + 50s);
  world.pass(50s);
  EXPECT_EQ(world.wills.size(), 1U);
  EXPECT_EQ(world.broker.counts().sessions, 0U);
}

TEST(BrokerWill, DoesNotWaitLongerThanTheSession) {
  World world;
  Client a(world, "a", lasting(10, 60));
  Client b(world, "b", lasting(0, 60, "at once"));
  a.drop();
  b.drop();
  EXPECT_EQ(world.will_payloads(), Texts{"at once"});
  world.pass(10s);
  EXPECT_EQ(world.will_payloads(), (Texts{"at once", "will"}));  // section 3.1.3.2.2
  world.pass(1h);
  EXPECT_EQ(world.wills.size(), 2U);
}

TEST(BrokerWill, DoesNotWaitForASessionThatLastsForEver) {
  World world;
  Client a(world, "a", lasting(kForEver, 10));
  a.drop();
  world.pass(10s);
  EXPECT_EQ(world.wills.size(), 1U);
  EXPECT_EQ(world.broker.counts().sessions, 1U);
}

TEST(BrokerWill, IsDroppedWhenTheSessionGoesOnInTime) {
  World world;
  Client a(world, "a", lasting(60, 10));
  a.drop();
  world.pass(9s);
  Client again(world, "a", {.clean_start = false, .session_expiry_s = 60});
  world.pass(1h);
  EXPECT_TRUE(world.wills.empty());  // [MQTT-3.1.3-9]
  again.drop();
  world.pass(30s);
  EXPECT_TRUE(world.wills.empty()) << "the new connection has none";
}

TEST(BrokerWill, IsPublishedWhenItsDelayIsOverThoughTheTimerIsLate) {
  World world;
  Client a(world, "a", lasting(60, 10));
  a.drop();
  world.now += 10s;
  Client again(world, "a", lasting(60, 10, "next"));
  EXPECT_TRUE(again.session_present());
  EXPECT_EQ(world.will_payloads(), Texts{"will"});  // [MQTT-3.1.2-8]
}

TEST(BrokerWill, ThatWaitsIsPublishedWhenTheSessionEndsByACleanStart) {
  World world;
  Client a(world, "a", lasting(60, 10));
  a.drop();
  Client again(world, "a", {.clean_start = true, .session_expiry_s = 60});
  EXPECT_EQ(world.will_payloads(), Texts{"will"});  // section 3.1.3.2.2: the session has ended
}

TEST(BrokerWill, OfAConnectionThatIsTakenOver) {
  struct Case {
    const char* what;
    std::uint32_t expiry_s;
    std::uint32_t delay_s;
    bool clean_start;
    bool published;
  };
  const Case cases[] = {
      // Section 3.1.3.2.2, the note on a network connection that uses the client identifier of an existing one.
      {"no delay: published when the connection is closed", 60, 0, false, true},
      {"delay, session goes on: not published", 60, 10, false, false},
      {"delay, clean start: the session ends", 60, 10, true, true},
      {"no delay, clean start", 60, 0, true, true},
      {"delay, but the session ends with its connection", 0, 10, false, true},
  };
  for (const auto& row : cases) {
    World world;
    Client a(world, "a", lasting(row.expiry_s, row.delay_s));
    Client b(world, "a", {.clean_start = row.clean_start, .session_expiry_s = 60});
    EXPECT_EQ(world.wills.size(), row.published ? 1U : 0U) << row.what;
    a.drop();
    world.pass(1h);
    EXPECT_EQ(world.wills.size(), row.published ? 1U : 0U) << row.what;
  }
}

TEST(BrokerWill, OfAnOverflowedSessionIsPublished) {
  BrokerLimits limits;
  limits.session.maximum_messages = 1;
  World world(limits);
  Client a(world, "a", lasting(60, 10));
  a.subscribe("t");
  world.publish(message("t", "1"));
  world.publish(message("t", "2"));
  EXPECT_EQ(world.will_payloads(), Texts{"will"});  // [MQTT-3.1.2-8]: its session has ended
  a.drop();
  EXPECT_EQ(world.wills.size(), 1U);
}

TEST(BrokerWill, IsRetainedAsItSays) {
  World world;
  Client a(world, "a", {.will = retained("kept", "1")});
  Client b(world, "b", {.will = message("passing", "2")});
  a.drop();
  b.drop();
  Client late(world, "late");
  late.subscribe("#");
  EXPECT_EQ(late.texts(), Texts{"1"});  // [MQTT-3.1.2-14], [MQTT-3.1.2-15]; 3.1.1 [MQTT-3.1.2-16], [MQTT-3.1.2-17]
}

TEST(BrokerWill, ItsExpiryCountsFromItsPublication) {
  World world;
  Client a(world, "a",
           {.clean_start = false,
            .session_expiry_s = 60,
            .will = message("w", "x"),
            .will_delay_s = 10,
            .will_expiry_s = 5});
  a.drop();
  world.pass(10s);
  ASSERT_EQ(world.wills.size(), 1U);
  EXPECT_EQ(world.wills[0].second->expires_at, world.now + 5s);
}

TEST(BrokerWill, ThatOverflowsOthersWithWillsDoesNotNest) {
  constexpr int kChain = 20'000;
  BrokerLimits limits;
  limits.session.maximum_messages = 1;
  World world(limits);
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < kChain; ++i) {
    clients.push_back(std::make_unique<Client>(world, "c" + std::to_string(i),
                                               Client::Options{.will = message("t/" + std::to_string(i + 1), "w")}));
    clients.back()->subscribe("t/" + std::to_string(i));
    world.publish(message("t/" + std::to_string(i), "fills the queue"));
  }
  world.publish(message("t/0", "falls the first"));
  EXPECT_EQ(world.wills.size(), static_cast<std::size_t>(kChain));
  EXPECT_EQ(world.broker.counts().sessions, 0U);
}

TEST(BrokerWill, NoneIsPublishedWhenTheBrokerGoes) {
  int wills = 0;
  auto broker = std::make_unique<Broker>(BrokerLimits{}, [&](const std::string&, const MessagePtr&) { ++wills; });
  ConnectSpec spec;
  spec.client_id = "a";
  spec.will = message("w", "x");
  const auto connected = broker->connect(std::move(spec), TimePoint{});
  broker.reset();
  EXPECT_EQ(wills, 0);
  EXPECT_EQ(connected.session->client_id(), "a");
}

}  // namespace
}  // namespace millrace::mqtt::testing
