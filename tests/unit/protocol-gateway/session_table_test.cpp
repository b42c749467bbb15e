#include "presence/session_table.hpp"

#include <gtest/gtest.h>

#include <millrace/mqtt/server_connection.hpp>

namespace millrace::gateway {
namespace {

constexpr std::int32_t kDeviceKey = 7;

SessionRecord record(const std::string& gateway, bool connected, std::uint32_t expiry_s = 60) {
  SessionRecord record{"acme", "m-1", "c/1", gateway, connected, connected ? 0 : 1'000'000, {}, kDeviceKey};
  record.session = {17, expiry_s, {{"devices/m-1/commands/#", mqtt::Qos::kExactlyOnce, true, true, 268'435'455}}, {}};
  if (!connected) record.session.unreleased = {1, 65535};
  return record;
}

constexpr const char* kKey = "acme/m-1/c/1";
constexpr TimeUs kExpires = 61'000'000;

TEST(SessionRecord, ComesBackAsItWas) {
  for (const bool connected : {true, false}) {
    const auto back = decode_session(encode(record("gw-1", connected)));
    ASSERT_TRUE(back.ok()) << back.error().message;
    EXPECT_EQ(*back, record("gw-1", connected));
  }
  EXPECT_FALSE(decode_session("no record").ok());
  SessionRecord bad = record("gw-1", true);
  bad.session.subscriptions[0].filter = "a/#/b";
  EXPECT_FALSE(decode_session(encode(bad)).ok());
  bad = record("gw-1", true);
  bad.session.unreleased = {0};
  EXPECT_FALSE(decode_session(encode(bad)).ok());
}

class SessionTableTest : public ::testing::Test {
 protected:
  void apply(const SessionRecord& record) { ASSERT_TRUE(table_.apply(kKey, encode(record)).ok()); }
  SessionTable table_{"gw-1"};
};

TEST_F(SessionTableTest, HoldsWhatTheLastRecordSays) {
  EXPECT_FALSE(table_.find(kKey, kDeviceKey, 0));
  apply(record("gw-2", true));
  EXPECT_EQ(table_.find(kKey, kDeviceKey, 1'000 * kExpires)->epoch, 17U) << "a connected session does not expire";
  ASSERT_TRUE(table_.apply(kKey, std::nullopt).ok());
  EXPECT_FALSE(table_.contains(kKey));
  ASSERT_TRUE(table_.apply(kKey, std::nullopt).ok());
}

TEST_F(SessionTableTest, ADeviceMadeAnewUnderAnIdHasNoPartInItsSessions) {
  apply(record("gw-1", false));
  EXPECT_FALSE(table_.find(kKey, kDeviceKey + 1, 0));
  EXPECT_TRUE(table_.contains(kKey)) << "it is overwritten or removed when the new one connects";
  EXPECT_TRUE(table_.find(kKey, kDeviceKey, 0));
  SessionRecord unknown = record("gw-1", false);
  unknown.device_key = 0;
  apply(unknown);
  EXPECT_FALSE(table_.find(kKey, kDeviceKey, 0));
}

TEST_F(SessionTableTest, AnExpiredSessionIsNoneAndTheGatewayThatHadItSaysSo) {
  apply(record("gw-1", false));
  EXPECT_TRUE(table_.find(kKey, kDeviceKey, kExpires - 1));
  EXPECT_FALSE(table_.find(kKey, kDeviceKey, kExpires));
  EXPECT_TRUE(table_.take_expired(kExpires - 1).empty());
  EXPECT_EQ(table_.take_expired(kExpires), std::vector<std::string>{kKey});
  EXPECT_TRUE(table_.take_expired(kExpires).empty()) << "the tombstone is under way";
  EXPECT_EQ(table_.take_expired(kExpires + SessionTable::kGrace).size(), 1U) << "it got lost";
  ASSERT_TRUE(table_.apply(kKey, std::nullopt).ok());
  EXPECT_TRUE(table_.take_expired(1'000 * kExpires).empty());
}

TEST_F(SessionTableTest, WhatAnEarlierStartLeftConnectedEndsAndThenExpires) {
  apply(record("gw-2", true));
  EXPECT_TRUE(table_.own_connected().empty()) << "that is the other's";
  apply(record("gw-1", true));
  const auto orphans = table_.own_connected();
  ASSERT_EQ(orphans.size(), 1U);
  EXPECT_EQ(orphans[0].key, kKey);
  const auto value = table_.ended(orphans[0], 1'000'000);
  ASSERT_TRUE(value);
  ASSERT_TRUE(table_.apply(kKey, *value).ok());
  EXPECT_EQ(table_.find(kKey, kDeviceKey, kExpires - 1)->subscriptions.size(), 1U) << "nothing of it is lost";
  EXPECT_EQ(table_.take_expired(kExpires), std::vector<std::string>{kKey});
}

TEST_F(SessionTableTest, AnOrphanThatSomebodyGoesOnWithIsLeftAlone) {
  apply(record("gw-1", true));
  const auto orphans = table_.own_connected();
  ASSERT_EQ(orphans.size(), 1U);
  SessionRecord later = record("gw-2", true);
  later.session.epoch = 18;
  apply(later);
  EXPECT_FALSE(table_.ended(orphans[0], 1'000'000));
  ASSERT_TRUE(table_.apply(kKey, std::nullopt).ok());
  EXPECT_FALSE(table_.ended(orphans[0], 1'000'000));
}

TEST_F(SessionTableTest, OthersWaitForItFirst) {
  apply(record("gw-2", false));
  EXPECT_TRUE(table_.take_expired(kExpires + SessionTable::kGrace - 1).empty());
  EXPECT_EQ(table_.take_expired(kExpires + SessionTable::kGrace).size(), 1U);
}

TEST_F(SessionTableTest, WhatAHungGatewayWritesLateChangesNothingAndIsMadeGood) {
  using Effect = SessionTable::Effect;
  SessionRecord late = record("gw-2", false);
  late.session.epoch = 5;
  apply(record("gw-1", true));
  EXPECT_EQ(*table_.apply(kKey, encode(late)), Effect::kAssert);
  EXPECT_EQ(table_.find(kKey, kDeviceKey, 0)->epoch, 17U);
  apply(record("gw-1", false));
  EXPECT_EQ(*table_.apply(kKey, encode(late)), Effect::kRewrite);
  EXPECT_EQ(table_.value_of(kKey), encode(record("gw-1", false)));
  apply(record("gw-3", true));
  EXPECT_EQ(*table_.apply(kKey, encode(late)), Effect::kNone) << "that is the other's business";
  apply(record("gw-1", true));
  EXPECT_EQ(*table_.apply(kKey, std::nullopt), Effect::kAssert) << "a late tombstone";
  EXPECT_EQ(*table_.apply(kKey, std::nullopt), Effect::kNone);
}

TEST_F(SessionTableTest, AKeyHasThreeParts) {
  const SessionName name = parse_session_key(kKey);
  EXPECT_EQ(name.tenant, "acme");
  EXPECT_EQ(name.device, "m-1");
  EXPECT_EQ(name.client_id, "c/1");
}

TEST_F(SessionTableTest, AConnectionEndsTheWaiting) {
  apply(record("gw-1", false));
  apply(record("gw-1", true));
  EXPECT_TRUE(table_.take_expired(1'000 * kExpires).empty());
  apply(record("gw-1", false, mqtt::kNeverExpires));
  EXPECT_TRUE(table_.take_expired(1'000'000 * kExpires).empty());
  EXPECT_TRUE(table_.find(kKey, kDeviceKey, 1'000'000 * kExpires));
}

}  // namespace
}  // namespace millrace::gateway
