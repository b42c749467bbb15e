#include <gtest/gtest.h>

#include "bridge/bridge_entry.hpp"
#include "bridge/circuit_breaker.hpp"
#include "bridge/command_event.hpp"
#include "bridge/hand_on_window.hpp"
#include "bridge/topic_map.hpp"
#include "bridge/topic_pattern.hpp"
#include "millrace/commands/v1/command_event.pb.h"

namespace millrace::gateway {
namespace {

using namespace std::chrono_literals;

TopicPattern pattern(std::string_view text) {
  auto parsed = TopicPattern::parse(text);
  EXPECT_TRUE(parsed.ok()) << text;
  return *parsed;
}

TEST(TopicPattern, NamesTenantAndDevice) {
  const TopicPattern one = pattern("{tenant}/devices/{device}/telemetry");
  EXPECT_EQ(one.filter(), "+/devices/+/telemetry");
  EXPECT_TRUE(one.has_tenant());
  const auto named = one.match("acme/devices/m-1/telemetry");
  ASSERT_TRUE(named);
  EXPECT_EQ(named->tenant, "acme");
  EXPECT_EQ(named->device, "m-1");
  for (const char* other : {"acme/devices/m-1", "acme/devices/m-1/telemetry/more", "acme/device/m-1/telemetry",
                            "devices/m-1/telemetry", "", "/"}) {
    EXPECT_FALSE(one.match(other)) << other;
  }
}

TEST(TopicPattern, WildcardsMatchAsInMqtt) {
  const TopicPattern one = pattern("site/+/{device}/#");
  EXPECT_EQ(one.filter(), "site/+/+/#");
  EXPECT_EQ(one.match("site/a/m-1/x/y")->device, "m-1");
  EXPECT_EQ(one.match("site//m-1")->device, "m-1");
  EXPECT_FALSE(one.match("site/a"));
  EXPECT_EQ(pattern("{device}").match("m-1")->device, "m-1");
  EXPECT_FALSE(pattern("{device}").match("m-1/x"));
}

TEST(TopicPattern, RefusesWhatIsNone) {
  for (const char* text : {"", "devices/telemetry", "{device}/{device}", "a/#/{device}", "dev{device}", "a+/{device}",
                           "$share/g/{device}", "{name}/{device}", "a/{device}/b#", "{device}/\x01"}) {
    EXPECT_FALSE(TopicPattern::parse(text).ok()) << text;
  }
}

TEST(TopicPattern, SaysWhetherTwoCanMeet) {
  const auto meet = [](std::string_view a, std::string_view b) {
    EXPECT_EQ(pattern(a).overlaps(pattern(b)), pattern(b).overlaps(pattern(a)));
    return pattern(a).overlaps(pattern(b));
  };
  EXPECT_TRUE(meet("devices/{device}/telemetry", "{tenant}/{device}/telemetry"));
  EXPECT_TRUE(meet("devices/{device}/#", "devices/{device}/status"));
  EXPECT_TRUE(meet("devices/{device}/#", "devices/{device}"));
  EXPECT_FALSE(meet("devices/{device}/telemetry", "devices/{device}/status"));
  EXPECT_FALSE(meet("devices/{device}", "devices/{device}/status"));
}

TEST(TopicMap, GivesWhoseItIsAndWhatFor) {
  const auto topics = default_topics("acme");
  const auto telemetry = target_of(topics, "devices/m-1/telemetry");
  ASSERT_TRUE(telemetry);
  EXPECT_EQ(telemetry->tenant, "acme");
  EXPECT_EQ(telemetry->device, "m-1");
  EXPECT_EQ(telemetry->topic->use, BridgeUse::kTelemetry);
  EXPECT_EQ(telemetry->topic->qos, 1);
  EXPECT_EQ(target_of(topics, "devices/m-1/status")->topic->metric_prefix, "status.");
  EXPECT_EQ(target_of(topics, "devices/m-1/status")->topic->qos, 0);
  EXPECT_EQ(target_of(topics, "devices/m-1/commands")->topic->use, BridgeUse::kCommand);
  EXPECT_EQ(target_of(topics, "devices/m-1/commands")->topic->qos, 2);
  EXPECT_FALSE(target_of(topics, "devices/m-1/other"));
  EXPECT_FALSE(target_of(topics, "devices/m 1/telemetry"));
  EXPECT_FALSE(target_of(topics, "devices//telemetry"));
}

TEST(CircuitBreaker, OpensAfterFiveFailuresInARow) {
  CircuitBreaker breaker(5, 30s);
  CircuitBreaker::Clock::time_point now{};
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(breaker.allows(now));
    breaker.failed(now);
  }
  EXPECT_EQ(breaker.state(), CircuitBreaker::State::kClosed);
  breaker.succeeded();
  for (int i = 0; i < 5; ++i) breaker.failed(now);
  EXPECT_EQ(breaker.state(), CircuitBreaker::State::kOpen);
  EXPECT_FALSE(breaker.allows(now + 29s));
  EXPECT_EQ(breaker.opens_until(), now + 30s);
}

TEST(CircuitBreaker, OneProbeDecides) {
  CircuitBreaker breaker(1, 30s);
  CircuitBreaker::Clock::time_point now{};
  breaker.failed(now);
  now += 30s;
  EXPECT_TRUE(breaker.allows(now));
  EXPECT_EQ(breaker.state(), CircuitBreaker::State::kHalfOpen);
  EXPECT_FALSE(breaker.allows(now));  // while the probe is on its way
  breaker.failed(now);
  EXPECT_EQ(breaker.state(), CircuitBreaker::State::kOpen);
  EXPECT_FALSE(breaker.allows(now + 29s));
  EXPECT_TRUE(breaker.allows(now + 30s));
  breaker.succeeded();
  EXPECT_EQ(breaker.state(), CircuitBreaker::State::kClosed);
  EXPECT_TRUE(breaker.allows(now + 30s));
}

BridgeEntry entry() {
  return {.use = BridgeUse::kCommand,
          .qos = 2,
          .taken = 1'700'000'000'000'001,
          .broker = "plant",
          .tenant = "acme",
          .device = "m-1",
          .metric_prefix = "status.",
          .topic = "devices/m-1/commands",
          .content_type = "application/json",
          .message_id = "4711",
          .traceparent = "00-",
          .payload = std::string_view("{\"a\":\0 1}", 9)};
}

TEST(BridgeEntry, ComesBack) {
  std::string bytes = "what was there before";
  encode(entry(), bytes);
  const auto decoded = decode_bridge_entry(bytes);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(*decoded, entry());
}

TEST(BridgeEntry, IsRefusedWhereverItIsCut) {
  std::string bytes;
  encode(entry(), bytes);
  for (std::size_t size = 0; size < bytes.size() - entry().payload.size(); ++size) {
    EXPECT_FALSE(decode_bridge_entry(std::string_view(bytes).substr(0, size)).ok()) << size;
  }
  bytes[1] = 9;
  EXPECT_FALSE(decode_bridge_entry(bytes).ok());
  bytes[0] = 2;
  EXPECT_FALSE(decode_bridge_entry(bytes).ok());
}

TEST(CommandEvent, SaysWhatWasSeen) {
  const telemetry::IngestId id{{1, 2, 3}, 258};
  const auto record = command_event("millrace.command-events", entry(), id);
  EXPECT_EQ(record.topic, "millrace.command-events");
  EXPECT_EQ(record.key, "acme/m-1");
  commands::v1::CommandEvent event;
  ASSERT_TRUE(event.ParseFromString(*record.value));
  EXPECT_EQ(event.kind(), commands::v1::CommandEvent::KIND_OBSERVED);
  EXPECT_EQ(event.id().size(), 24U);
  EXPECT_EQ(event.id()[16], 2);
  EXPECT_EQ(event.id()[17], 1);
  EXPECT_EQ(event.payload(), entry().payload);
  EXPECT_EQ(event.broker(), "plant");
  EXPECT_EQ(event.qos(), 2U);
  EXPECT_EQ(command_event("t", entry(), id).value, record.value);  // told again it is the same
}

journal::Entry journaled(std::uint64_t counter, std::size_t bytes = 10) {
  return {{}, counter, {1, 100 * counter, counter + 1}, std::string(bytes, 'x')};
}

TEST(HandOnWindow, ReleasesInOrderOnly) {
  HandOnWindow window(10, 1000);
  const auto first = window.add(journaled(1));
  const auto second = window.add(journaled(2));
  const auto third = window.add(journaled(3));
  window.done(second);
  EXPECT_FALSE(window.release());
  window.done(first);
  EXPECT_EQ(window.release()->counter, 3U);
  EXPECT_EQ(window.size(), 1U);
  EXPECT_EQ(window.entry(third).counter, 3U);
  window.done(third);
  EXPECT_EQ(window.release()->counter, 4U);
  EXPECT_FALSE(window.release());
}

TEST(HandOnWindow, IsFullByEntriesOrBytes) {
  HandOnWindow window(2, 1000);
  const auto first = window.add(journaled(1));
  EXPECT_FALSE(window.full());
  window.add(journaled(2));
  EXPECT_TRUE(window.full());
  window.done(first);
  EXPECT_TRUE(window.full());  // until it is confirmed
  ASSERT_TRUE(window.release());
  EXPECT_FALSE(window.full());
  window.done(window.add(journaled(3, 1000)));
  EXPECT_TRUE(window.full());
}

TEST(HandOnWindow, GivesAgainOldestFirst) {
  HandOnWindow window(100, 10'000);
  std::vector<std::uint64_t> tokens;
  for (std::uint64_t i = 1; i <= 6; ++i) tokens.push_back(window.add(journaled(i)));
  EXPECT_FALSE(window.take_again());
  window.again(tokens[4]);
  window.again(tokens[1]);
  window.again(tokens[1]);
  EXPECT_EQ(window.take_again(), tokens[1]);
  window.again(tokens[0]);
  EXPECT_EQ(window.take_again(), tokens[0]);
  window.again(tokens[1]);
  window.done(tokens[4]);  // its outcome came late
  EXPECT_EQ(window.take_again(), tokens[1]);
  EXPECT_FALSE(window.take_again());
  window.done(tokens[0]);
  ASSERT_TRUE(window.release());
  window.again(tokens[5]);
  EXPECT_EQ(window.take_again(), tokens[5]);
}

}  // namespace
}  // namespace millrace::gateway
