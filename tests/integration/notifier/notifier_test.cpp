// The program against a real broker and a real HTTP receiver: what the receiver saw is what counts.
#include <algorithm>
#include <set>

#include <google/protobuf/util/json_util.h>

#include "millrace/alerts/v1/alert.pb.h"
#include "notifier_fixture.hpp"
#include "send/webhook.hpp"

namespace millrace::notifier::testing {
namespace {

using Keys = std::vector<std::string>;

std::set<std::string> set_of(const Keys& keys) { return {keys.begin(), keys.end()}; }

// The events of one alert key must reach the receiver's yes in their order; repeats may come in between.
void expect_order(const Keys& published, const Keys& delivered) {
  auto at = delivered.begin();
  for (const std::string& key : published) {
    const auto first = std::find(delivered.begin(), delivered.end(), key);
    ASSERT_NE(first, delivered.end()) << key << " was lost";
    EXPECT_GE(first - delivered.begin(), at - delivered.begin()) << key << " came before the one before it";
    at = first;
  }
}

TEST_F(NotifierTest, SendsEachEventOnceAndSigned) {
  set_webhook("acme", receiver_.url("acme"));
  const Keys published{publish("acme", "d1", 1), publish("acme", "d1", 2)};
  publish("nobody", "d1", 1);  // has no webhook
  run();
  ASSERT_TRUE(eventually([&] { return receiver_.delivered("acme").size() == 2; }));
  EXPECT_EQ(receiver_.delivered("acme"), published);
  ASSERT_TRUE(eventually([&] { return metric("millrace_notifier_events_total{outcome=\"no_webhook\"}") == 1; }));
  const Seen first = receiver_.seen("acme").front();
  alerts::v1::Alert alert;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(first.body, &alert).ok()) << first.body;
  EXPECT_EQ(alert.state(), alerts::v1::STATE_RAISED);
  EXPECT_NE(first.body.find("\"eventNumber\""), std::string::npos);
  EXPECT_EQ(first.headers.at("Content-Type"), "application/json");
  EXPECT_EQ(first.headers.at("traceparent"), alert.traceparent());
  EXPECT_TRUE(first.headers.at("User-Agent").starts_with("millrace-notifier/"));
  const std::string& signature = first.headers.at("Millrace-Signature");
  const std::int64_t time = std::stoll(signature.substr(2));
  EXPECT_NEAR(static_cast<double>(time), static_cast<double>(now_us() / kUsPerSecond), 300);
  EXPECT_EQ(signature, sign("secret of acme", time, first.body));
}

TEST_F(NotifierTest, ACleanStopIsRememberedToTheLastEvent) {
  set_webhook("acme", receiver_.url("acme"));
  const Keys before{publish("acme", "d1", 1), publish("acme", "d2", 1)};
  run();
  ASSERT_TRUE(eventually([&] { return receiver_.delivered("acme").size() == 2; }));
  EXPECT_EQ(process_->terminate(), 0);
  const std::string after = publish("acme", "d1", 2);
  run();
  ASSERT_TRUE(eventually([&] { return receiver_.delivered("acme").size() >= 3; }));
  EXPECT_EQ(receiver_.seen("acme").size(), 3U);
  EXPECT_EQ(receiver_.delivered("acme").back(), after);
}

TEST_F(NotifierTest, KilledAgainAndAgainLosesNothingAndKeepsTheOrder) {
  constexpr int kDevices = 6;
  constexpr int kEvents = 10;
  set_webhook("acme", receiver_.url("acme"));
  receiver_.answer("acme", 503);
  run({{"TENANT_QUEUE_EVENTS", "8"}});
  std::map<std::string, Keys> published;
  std::size_t count = 0;
  const int answers[] = {503, Receiver::kHang, 200, 500, 200};
  for (int number = 1; number <= kEvents; ++number) {
    for (int device = 0; device < kDevices; ++device, ++count) {
      const std::string name = "d" + std::to_string(device);
      published[name].push_back(publish("acme", name, number));
    }
    receiver_.answer("acme", answers[number % std::size(answers)]);
    const std::size_t seen = receiver_.seen("acme").size();
    ASSERT_TRUE(eventually([&] { return receiver_.seen("acme").size() > seen; })) << number;
    // Sometimes it dies before anything was kept, sometimes its position is beyond events that are still open.
    if (number % 2 == 0) {
      ASSERT_TRUE(eventually([&] { return kept_position() == static_cast<std::int64_t>(count); })) << number;
    }
    process_->kill();
    run({{"TENANT_QUEUE_EVENTS", "8"}});
  }
  receiver_.answer("acme", 200);
  ASSERT_TRUE(eventually([&] { return set_of(receiver_.delivered("acme")).size() == count; }));
  for (const auto& [device, keys] : published) expect_order(keys, receiver_.delivered("acme"));
  // A repeat carries the same key and the same body.
  std::map<std::string, std::string> bodies;
  for (const Seen& one : receiver_.seen("acme")) {
    EXPECT_EQ(bodies.emplace(one.key, one.body).first->second, one.body) << one.key;
  }
  EXPECT_EQ(bodies.size(), count);
}

TEST_F(NotifierTest, AnotherNotifierTakesOver) {
  constexpr int kDevices = 12;
  set_webhook("acme", receiver_.url("acme"));
  run({{"KAFKA_INSTANCE", ""}});
  std::map<std::string, Keys> published;
  const auto publish_all = [&](std::int64_t number) {
    for (int device = 0; device < kDevices; ++device) {
      const std::string name = "d" + std::to_string(device);
      published[name].push_back(publish("acme", name, number));
    }
  };
  publish_all(1);
  ASSERT_TRUE(eventually([&] { return set_of(receiver_.delivered("acme")).size() == kDevices; }));
  receiver_.answer("acme", 503);
  publish_all(2);
  // The partitions are shared out anew while events are open, then their owner dies.
  const auto other = start({{"KAFKA_INSTANCE", ""}, {"OPS_ADDR", "127.0.0.1:0"}});
  ASSERT_TRUE(eventually([&] {
    const double owned = metric("millrace_notifier_partitions");
    return owned > 0 && owned < kPartitions;
  }));
  publish_all(3);
  process_->kill();
  receiver_.answer("acme", 200);
  ASSERT_TRUE(eventually([&] { return set_of(receiver_.delivered("acme")).size() == 3 * kDevices; }));
  for (const auto& [device, keys] : published) expect_order(keys, receiver_.delivered("acme"));
}

TEST_F(NotifierTest, AReceiverThatHangsKeepsNobodyWaitingAndGetsAllLater) {
  constexpr int kEvents = 40;
  set_webhook("slow", receiver_.url("slow"));
  set_webhook("quick", receiver_.url("quick"));
  receiver_.answer("slow", Receiver::kHang);
  Keys slow;
  Keys quick;
  for (int number = 1; number <= kEvents; ++number) {
    slow.push_back(publish("slow", "d1", number));
    publish("slow", "other" + std::to_string(number), 1);
    quick.push_back(publish("quick", "d1", number));
  }
  // The time-out is longer than the test waits: nobody can be helped by it.
  run({{"TENANT_QUEUE_EVENTS", "4"}, {"ATTEMPT_TIMEOUT_MS", "120000"}});
  ASSERT_TRUE(eventually([&] { return receiver_.delivered("quick").size() == quick.size(); }));
  EXPECT_EQ(receiver_.delivered("quick"), quick);
  EXPECT_TRUE(receiver_.delivered("slow").empty());
  ASSERT_TRUE(eventually([&] { return receiver_.hanging("slow") > 0; }));
  EXPECT_GT(metric("millrace_notifier_events_left_total"), 0);
  receiver_.answer("slow", 200);
  ASSERT_TRUE(eventually([&] { return receiver_.delivered("slow").size() == 2 * kEvents; }));
  expect_order(slow, receiver_.delivered("slow"));
  EXPECT_EQ(receiver_.seen("slow").size(), 2U * kEvents);  // each once
  ASSERT_TRUE(eventually([&] { return metric("millrace_notifier_tenants_behind") == 0; }));
}

TEST_F(NotifierTest, TimesOutAndTriesAgain) {
  set_webhook("acme", receiver_.url("acme"));
  receiver_.answer("acme", Receiver::kHang);
  const std::string key = publish("acme", "d1", 1);
  run({{"ATTEMPT_TIMEOUT_MS", "200"}});
  ASSERT_TRUE(eventually([&] { return receiver_.seen("acme").size() >= 3; }));
  receiver_.answer("acme", 200);
  ASSERT_TRUE(eventually([&] { return !receiver_.delivered("acme").empty(); }));
  for (const Seen& one : receiver_.seen("acme")) EXPECT_EQ(one.key, key);
  EXPECT_GE(metric("millrace_notifier_attempts_total{outcome=\"no_answer\"}"), 2);
}

TEST_F(NotifierTest, GivesUpWhatIsRefusedAndFollowsNoRedirect) {
  for (const char* tenant : {"gone", "moved", "broken"}) set_webhook(tenant, receiver_.url(tenant));
  receiver_.answer("gone", 410);
  receiver_.answer("moved", Receiver::kRedirect);
  receiver_.answer("broken", 500);
  publish("gone", "d1", 1);
  publish("gone", "d1", 2);
  publish("moved", "d1", 1);
  publish("broken", "d1", 1);
  run();
  ASSERT_TRUE(eventually([&] { return metric("millrace_notifier_events_total{outcome=\"refused\"}") == 3; }));
  ASSERT_TRUE(eventually([&] { return receiver_.seen("broken").size() >= 3; }));
  EXPECT_EQ(receiver_.seen("gone").size(), 2U);
  EXPECT_EQ(receiver_.seen("moved").size(), 1U);
  EXPECT_TRUE(receiver_.seen("elsewhere").empty());
  receiver_.answer("broken", 204);
  ASSERT_TRUE(eventually([&] { return receiver_.delivered("broken").size() == 1; }));
}

TEST_F(NotifierTest, GivesUpWhatIsTooOld) {
  set_webhook("acme", receiver_.url("acme"));
  receiver_.answer("acme", 500);
  publish("acme", "d1", 1);
  run({{"RETRY_AGE_S", "2"}});
  ASSERT_TRUE(eventually([&] { return metric("millrace_notifier_events_total{outcome=\"expired\"}") == 1; }));
  receiver_.answer("acme", 200);
  const std::string next = publish("acme", "d1", 2);
  ASSERT_TRUE(eventually([&] { return receiver_.delivered("acme") == Keys{next}; }));
}

TEST_F(NotifierTest, SendsNothingToPrivateAddressesUnlessAllowed) {
  set_webhook("acme", receiver_.url("acme"));
  publish("acme", "d1", 1);
  run({{"ALLOW_PRIVATE_ADDRESSES", "false"}});
  ASSERT_TRUE(eventually([&] { return metric("millrace_notifier_attempts_total{outcome=\"address_refused\"}") >= 2; }));
  EXPECT_TRUE(receiver_.seen("acme").empty());
  process_->kill();
  run();
  ASSERT_TRUE(eventually([&] { return receiver_.delivered("acme").size() == 1; }));
}

TEST_F(NotifierTest, AWebhookThatIsReplacedOrDeletedCountsAtOnce) {
  set_webhook("acme", receiver_.url("old"));
  receiver_.answer("old", 503);
  const std::string first = publish("acme", "d1", 1);
  run({{"RETRY_FIRST_MS", "600000"}, {"RETRY_MOST_MS", "600000"}});  // only the change can help
  ASSERT_TRUE(eventually([&] { return receiver_.seen("old").size() == 1; }));
  set_webhook("acme", receiver_.url("new"));
  ASSERT_TRUE(eventually([&] { return receiver_.delivered("new") == Keys{first}; }));
  delete_webhook("acme");
  ASSERT_TRUE(eventually([&] { return metric("millrace_notifier_webhooks") == 0; }));
  publish("acme", "d1", 2);
  ASSERT_TRUE(eventually([&] { return metric("millrace_notifier_events_total{outcome=\"no_webhook\"}") == 1; }));
  EXPECT_EQ(receiver_.seen("new").size(), 1U);
}

TEST_F(NotifierTest, ARecordThatMakesNoSenseHoldsUpNothing) {
  set_webhook("acme", receiver_.url("acme"));
  produce({.topic = topics_.alerts(), .partition = 0, .key = "acme/x", .value = "\xff\xff"});
  produce({.topic = topics_.alerts(), .partition = 0, .key = "acme/x", .value = std::nullopt});
  const std::string key = publish("acme", "d1", 1);
  run();
  ASSERT_TRUE(eventually([&] { return receiver_.delivered("acme") == Keys{key}; }));
  ASSERT_TRUE(eventually([&] { return metric("millrace_notifier_events_total{outcome=\"invalid\"}") == 1; }));
}

}  // namespace
}  // namespace millrace::notifier::testing
