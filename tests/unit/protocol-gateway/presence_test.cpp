#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "presence/presence_record.hpp"
#include "presence/presence_table.hpp"
#include "presence/state_folder.hpp"

namespace millrace::gateway {
namespace {

using Meaning = PresenceTable::Meaning;

constexpr const char* kStart = "0123456789abcdef";
constexpr const char* kOtherStart = "fedcba9876543210";
constexpr const char* kEarlierStart = "aaaaaaaaaaaaaaaa";

PresenceRecord record(const std::string& gateway, const std::string& start, bool connected, const char* client = "c") {
  PresenceRecord record;
  record.visit = {"acme", "m-1", client, telemetry::Protocol::kMqtt5, "10.0.0.7:5000", gateway, start, 3, 1'000'000};
  record.connected = connected;
  return record;
}

PresenceRecord gone(const std::string& gateway, const std::string& start, std::uint64_t epoch,
                    const char* client = "c") {
  PresenceRecord end = record(gateway, start, false, client);
  end.epoch = epoch;
  end.disconnected = 5'000'000;
  end.cause = DisconnectCause::kProtocolError;
  end.detail = "3.1.0 a second CONNECT";
  return end;
}

TEST(PresenceRecord, ComesBackAsItWas) {
  for (const PresenceRecord& one : {record("gw-1", kStart, true), gone("gw-1", kStart, 17)}) {
    const auto back = decode_presence(encode(one));
    ASSERT_TRUE(back.ok()) << back.error().message;
    if (one.connected) {
      EXPECT_EQ(back->visit, one.visit);
      EXPECT_TRUE(back->connected);
      EXPECT_FALSE(back->epoch);
    } else {
      EXPECT_EQ(*back, one);
    }
  }
  EXPECT_FALSE(decode_presence("no record").ok());
  EXPECT_FALSE(decode_presence("").ok());
}

TEST(PresenceRecord, AnOffsetIsLaterThanWhatGatewaysCountedForThemselves) {
  const std::uint64_t counted = 1'000'000ULL << 40 | 77;
  EXPECT_GT(telemetry_epoch(0), counted);
  EXPECT_GT(telemetry_epoch(2), telemetry_epoch(1));
}

class PresenceTableTest : public ::testing::Test {
 protected:
  PresenceTable table_{"gw-1", kStart};
};

TEST_F(PresenceTableTest, AnotherGatewaysConnectionIsNewer) {
  EXPECT_EQ(table_.apply(record("gw-1", kStart, true), 5, 0).meaning, Meaning::kNothing);
  const auto applied = table_.apply(record("gw-2", kOtherStart, true), 9, 0);
  EXPECT_EQ(applied.meaning, Meaning::kNewer);
  EXPECT_EQ(applied.epoch, 9U);
  EXPECT_EQ(table_.size(), 1U);
}

TEST_F(PresenceTableTest, AnOlderEpochSaidAgainChangesNothing) {
  static_cast<void>(table_.apply(record("gw-1", kStart, true), 9, 0));
  PresenceRecord again = record("gw-2", kOtherStart, true);
  again.epoch = 5;
  EXPECT_EQ(table_.apply(again, 12, 0).meaning, Meaning::kNothing);
  EXPECT_EQ(table_.apply(gone("gw-2", kOtherStart, 5), 13, 0).meaning, Meaning::kGone);
  EXPECT_EQ(table_.size(), 1U);
  static_cast<void>(table_.apply(gone("gw-1", kStart, 9), 14, 0));
  EXPECT_EQ(table_.size(), 0U);
}

TEST_F(PresenceTableTest, AGatewayThatSaysNothingIsDeadAfterAWhile) {
  static_cast<void>(table_.apply(record("gw-2", kOtherStart, true), 5, 0));
  static_cast<void>(table_.apply(record("gw-1", kStart, true), 6, 1000));
  EXPECT_TRUE(table_.take_dead(1000 + PresenceTable::kGrace - 1).empty());
  const auto dead = table_.take_dead(1000 + PresenceTable::kGrace);
  ASSERT_EQ(dead.size(), 1U);
  EXPECT_EQ(dead[0].epoch, 5U);
  EXPECT_EQ(dead[0].visit.tenant, "acme");
  EXPECT_EQ(dead[0].visit.device, "m-1");
  EXPECT_EQ(dead[0].visit.client_id, "c");
  EXPECT_EQ(dead[0].visit.gateway, "gw-2");
  EXPECT_TRUE(table_.take_dead(1000 + 2 * PresenceTable::kGrace).empty());
}

TEST_F(PresenceTableTest, AGatewayThatReportsTheEndIsNotDead) {
  static_cast<void>(table_.apply(record("gw-2", kOtherStart, true), 5, 0));
  static_cast<void>(table_.apply(record("gw-1", kStart, true), 6, 0));
  static_cast<void>(table_.apply(gone("gw-2", kOtherStart, 5), 7, 0));
  EXPECT_TRUE(table_.take_dead(10 * PresenceTable::kGrace).empty());
}

TEST_F(PresenceTableTest, AThirdGatewayLeavesTheMatterToTheOneThatHasTheClient) {
  static_cast<void>(table_.apply(record("gw-2", kOtherStart, true), 5, 0));
  static_cast<void>(table_.apply(record("gw-3", "3333333333333333", true), 6, 0));
  EXPECT_TRUE(table_.take_dead(10 * PresenceTable::kGrace).empty());
}

TEST_F(PresenceTableTest, ConnectionsOfAnEarlierStartAreDeadAtOnce) {
  static_cast<void>(table_.apply(record("gw-1", kEarlierStart, true, "a/b"), 5, 0));
  static_cast<void>(table_.apply(record("gw-2", kOtherStart, true, "other"), 6, 0));
  table_.read_to_end(100);
  const auto dead = table_.take_dead(100);
  ASSERT_EQ(dead.size(), 1U);
  EXPECT_EQ(dead[0].visit.client_id, "a/b");
}

class StateFolderTest : public ::testing::Test {
 protected:
  StateFolderTest() {
    std::string name = (std::filesystem::temp_directory_path() / "millrace-state-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~StateFolderTest() override { std::filesystem::remove_all(folder_); }
  std::string folder_;
};

TEST_F(StateFolderTest, KeepsTheNameThatWasDrawn) {
  std::string name;
  for (int start = 0; start < 2; ++start) {
    const auto folder = StateFolder::open(folder_, "");
    ASSERT_TRUE(folder.ok()) << folder.error().message;
    EXPECT_TRUE(name.empty() || name == (*folder)->gateway_name());
    name = (*folder)->gateway_name();
    EXPECT_FALSE(name.empty());
  }
  const auto folder = StateFolder::open(folder_, "edge-7");
  ASSERT_TRUE(folder.ok());
  EXPECT_EQ((*folder)->gateway_name(), "edge-7");
}

TEST_F(StateFolderTest, ASecondGatewayIsKeptOut) {
  const auto first = StateFolder::open(folder_, "");
  ASSERT_TRUE(first.ok());
  const auto second = StateFolder::open(folder_, "");
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().kind, ErrorKind::kUnavailable);
}

TEST_F(StateFolderTest, WhatIsNoNameStopsTheStart) {
  EXPECT_EQ(StateFolder::open(folder_, "no name").error().kind, ErrorKind::kInvalid);
  std::ofstream(folder_ + "/name") << "what is this?";
  const auto folder = StateFolder::open(folder_, "");
  ASSERT_FALSE(folder.ok());
  EXPECT_EQ(folder.error().kind, ErrorKind::kCorrupt);
}

}  // namespace
}  // namespace millrace::gateway
