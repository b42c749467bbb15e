#include "presence_roll.hpp"

#include <optional>

#include <gtest/gtest.h>

namespace millrace::cli {
namespace {

using devices::v1::Presence;

Presence record(bool connected, std::optional<std::uint64_t> epoch) {
  Presence record;
  record.set_tenant("acme");
  record.set_device("m-1");
  record.set_client_id("c");
  record.set_state(connected ? devices::v1::PRESENCE_STATE_CONNECTED : devices::v1::PRESENCE_STATE_DISCONNECTED);
  if (!connected) record.set_cause(devices::v1::DISCONNECT_CAUSE_KEEP_ALIVE);
  if (epoch) record.set_epoch(*epoch);
  return record;
}

bool is_connected(const PresenceRoll& roll) { return roll.clients().at("acme/m-1/c").connected(); }

TEST(PresenceRollTest, TheFirstRecordOfAConnectionHasItsOffsetAsEpoch) {
  PresenceRoll roll;
  EXPECT_TRUE(roll.take(record(true, std::nullopt), 0));
  EXPECT_TRUE(is_connected(roll));
  EXPECT_TRUE(roll.take(record(false, 0), 3));
  EXPECT_FALSE(is_connected(roll));
}

TEST(PresenceRollTest, AnOlderConnectionsEndChangesNothing) {
  PresenceRoll roll;
  EXPECT_TRUE(roll.take(record(true, std::nullopt), 5));
  EXPECT_TRUE(roll.take(record(true, std::nullopt), 7));
  EXPECT_FALSE(roll.take(record(false, 5), 8)) << "the one that was taken over is reported late";
  EXPECT_TRUE(is_connected(roll));
  EXPECT_FALSE(roll.take(record(true, 7), 9)) << "said again";
  EXPECT_EQ(roll.clients().at("acme/m-1/c").epoch, 7U);
}

TEST(PresenceRollTest, WhatHasEndedStaysSo) {
  PresenceRoll roll;
  EXPECT_TRUE(roll.take(record(false, 5), 8)) << "its beginning may be compacted away";
  EXPECT_FALSE(roll.take(record(true, 5), 9));
  EXPECT_FALSE(roll.take(record(false, 5), 10));
  EXPECT_FALSE(is_connected(roll));
  EXPECT_TRUE(roll.take(record(true, std::nullopt), 11));
  EXPECT_TRUE(is_connected(roll));
}

TEST(PresenceRollTest, CausesAndProtocolsAreWords) {
  EXPECT_EQ(protocol_text(telemetry::v1::PROTOCOL_MQTT5), "mqtt5");
  EXPECT_EQ(cause_text(devices::v1::DISCONNECT_CAUSE_KEEP_ALIVE), "keep_alive");
  EXPECT_EQ(cause_text(devices::v1::DISCONNECT_CAUSE_UNSPECIFIED), "");
}

}  // namespace
}  // namespace millrace::cli
