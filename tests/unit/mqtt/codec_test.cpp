#include <stdexcept>

#include <gtest/gtest.h>
#include <mqtt_packets.hpp>

namespace millrace::mqtt {
namespace {

constexpr std::uint32_t kMost = 1 << 20;

Frame frame_of(const std::string& bytes) {
  Frame frame;
  EXPECT_EQ(next_frame(bytes, kMost, frame).status, FrameStatus::kComplete);
  return frame;
}

TEST(Codec, EveryPacketComesOutAsItWentIn) {
  for (const auto& sample : testing::samples()) {
    SCOPED_TRACE(sample.name);
    Frame frame = frame_of(sample.bytes);
    EXPECT_EQ(frame.size, sample.bytes.size());
    Fault fault;
    const auto again = testing::recode(frame, sample.version, fault);
    ASSERT_TRUE(again) << fault.rule;
    EXPECT_EQ(*again, sample.bytes);
  }
}

TEST(Codec, TheSamplesHoldEveryPacketTypeOfBothVersions) {
  std::uint32_t seen[2] = {};
  for (const auto& sample : testing::samples()) {
    seen[sample.version == Version::k5 ? 1 : 0] |= 1U << (static_cast<std::uint8_t>(sample.bytes[0]) >> 4);
  }
  EXPECT_EQ(seen[0], 0x7FFEU);  // CONNECT to DISCONNECT
  EXPECT_EQ(seen[1], 0xFFFEU);  // and AUTH
}

TEST(Codec, AFrameIsIncompleteUntilItsLastByte) {
  for (const auto& sample : testing::samples()) {
    SCOPED_TRACE(sample.name);
    for (std::size_t size = 0; size < sample.bytes.size(); ++size) {
      Frame frame;
      const auto result = next_frame(std::string_view(sample.bytes).substr(0, size), kMost, frame);
      EXPECT_EQ(result.status, FrameStatus::kIncomplete);
      EXPECT_TRUE(frame.size == 0 || frame.size == sample.bytes.size());
    }
  }
}

/// A packet whose length says less than its content holds must not be read beyond its end, and is told as a fault
/// except where the shorter packet is one too (a payload, or fields that version 5 lets out).
TEST(Codec, BodiesCutAtEveryByteAreFaultsOrShorterPackets) {
  int faults = 0;
  for (const auto& sample : testing::samples()) {
    const Frame whole = frame_of(sample.bytes);
    for (std::size_t size = 0; size < whole.body.size(); ++size) {
      // A copy of exactly that size, so that the sanitizers see a read behind it.
      const std::string body(whole.body.substr(0, size));
      Frame cut = whole;
      cut.body = body;
      Fault fault;
      const auto again = testing::recode(cut, sample.version, fault);
      if (!again) {
        EXPECT_NE(fault.code, ReasonCode::kSuccess);
        EXPECT_NE(fault.rule, nullptr);
        ++faults;
      } else {
        EXPECT_LT(again->size(), sample.bytes.size()) << sample.name;
      }
    }
  }
  EXPECT_GT(faults, 800);
}

TEST(Codec, BytesAfterThePacketAreAFaultWhereThereIsNoPayload) {
  for (const auto& sample : testing::samples()) {
    const Frame whole = frame_of(sample.bytes);
    if (whole.type == PacketType::kPublish) continue;
    const std::string body = std::string(whole.body) + '\xFF';
    Frame longer = whole;
    longer.body = body;
    Fault fault;
    EXPECT_FALSE(testing::recode(longer, sample.version, fault)) << sample.name;
  }
}

TEST(Codec, PacketsThatFollowOneAnotherAreCutApart) {
  std::string stream;
  for (const auto& sample : testing::samples()) stream += sample.bytes;
  std::string_view rest = stream;
  for (const auto& sample : testing::samples()) {
    Frame frame;
    ASSERT_EQ(next_frame(rest, kMost, frame).status, FrameStatus::kComplete);
    EXPECT_EQ(rest.substr(0, frame.size), sample.bytes);
    rest.remove_prefix(frame.size);
  }
  EXPECT_TRUE(rest.empty());
}

TEST(Codec, LengthsOfOneToFourBytes) {
  for (const std::size_t payload : {0UL, 124UL, 125UL, 16'380UL, 16'381UL, 2'097'148UL, 2'097'149UL}) {
    std::string bytes;
    encode(Version::k311, Publish{"t", std::string(payload, 'p'), {}, false, false, 0, {}}, bytes);
    Frame frame;
    ASSERT_EQ(next_frame(bytes, 1 << 28, frame).status, FrameStatus::kComplete);
    Publish publish;
    ASSERT_FALSE(decode(frame, Version::k311, publish));
    EXPECT_EQ(publish.payload.size(), payload);
    EXPECT_EQ(frame.size, bytes.size());
  }
}

TEST(Codec, APacketAboveTheMaximumIsRefusedByItsFirstBytes) {
  const std::string header("\x30\xE9\x07", 3);  // PUBLISH of 1001 bytes more: 1004 in all
  Frame frame;
  const auto result = next_frame(header, 1003, frame);
  EXPECT_EQ(result.status, FrameStatus::kTooLarge);
  EXPECT_EQ(result.fault.code, ReasonCode::kPacketTooLarge);
  EXPECT_EQ(next_frame(header, 1004, frame).status, FrameStatus::kIncomplete);
  EXPECT_EQ(frame.size, 1004U);
}

TEST(Codec, DecodedViewsPointIntoTheBuffer) {
  std::string bytes;
  encode(Version::k5, Publish{"topic", "payload", Qos::kAtLeastOnce, false, false, 3, {}}, bytes);
  const Frame frame = frame_of(bytes);
  Publish publish;
  ASSERT_FALSE(decode(frame, Version::k5, publish));
  EXPECT_GE(publish.topic.data(), bytes.data());
  EXPECT_EQ(publish.payload.data() + publish.payload.size(), bytes.data() + bytes.size());
}

TEST(Codec, ConnectIsReadInFull) {
  for (const auto& sample : testing::samples()) {
    if (sample.name != "CONNECT full v5") continue;
    Connect connect;
    ASSERT_FALSE(decode(frame_of(sample.bytes), connect));
    EXPECT_EQ(connect.version, Version::k5);
    EXPECT_FALSE(connect.clean_start);
    EXPECT_EQ(connect.keep_alive_s, 65535);
    EXPECT_EQ(connect.client_id, "meter-1");
    EXPECT_EQ(connect.user_name, "meter-1@grid");
    EXPECT_EQ(connect.password, std::string_view("\0secret", 7));
    ASSERT_TRUE(connect.will);
    EXPECT_EQ(connect.will->topic, "devices/meter-1/status");
    EXPECT_EQ(connect.will->qos, Qos::kExactlyOnce);
    EXPECT_EQ(connect.will->properties.number(PropertyId::kWillDelayInterval), 5U);
    EXPECT_EQ(connect.properties.number(PropertyId::kSessionExpiryInterval), 3600U);
    EXPECT_EQ(connect.properties.text(PropertyId::kAuthenticationData), std::string_view("\0\1\2", 3));
    EXPECT_EQ(connect.properties.user("k"), "v");
    EXPECT_EQ(connect.properties.user("missing"), std::nullopt);
    EXPECT_EQ(connect.properties.number(PropertyId::kServerKeepAlive), std::nullopt);
    return;
  }
  FAIL() << "no such sample";
}

TEST(Codec, SubscriptionOptionsAreRead) {
  std::string entries;
  append_subscription(Version::k5, {"f", Qos::kExactlyOnce, true, true, RetainHandling::kDoNotSend}, entries);
  std::string bytes;
  encode(Version::k5, Subscribe{1, {}, entries}, bytes);
  Subscribe subscribe;
  ASSERT_FALSE(decode(frame_of(bytes), Version::k5, subscribe));
  SubscriptionReader reader = subscribe.reader();
  Subscription subscription;
  ASSERT_TRUE(reader.next(subscription));
  EXPECT_EQ(subscription.filter, "f");
  EXPECT_EQ(subscription.maximum_qos, Qos::kExactlyOnce);
  EXPECT_TRUE(subscription.no_local);
  EXPECT_TRUE(subscription.retain_as_published);
  EXPECT_EQ(subscription.retain_handling, RetainHandling::kDoNotSend);
  EXPECT_FALSE(reader.next(subscription));
}

TEST(Codec, PropertiesAreReadInOrderWithRepeatedUserProperties) {
  PropertyWriter writer;
  writer.add_user("a", "1").add(PropertyId::kTopicAlias, 2U).add_user("a", "3");
  PropertyReader reader(writer.view());
  Property property;
  ASSERT_TRUE(reader.next(property));
  EXPECT_EQ(property.value, "1");
  ASSERT_TRUE(reader.next(property));
  EXPECT_EQ(property.number, 2U);
  ASSERT_TRUE(reader.next(property));
  EXPECT_EQ(property.value, "3");
  EXPECT_FALSE(reader.next(property));
  writer.clear();
  EXPECT_TRUE(writer.view().empty());
  EXPECT_FALSE(writer.view().has(PropertyId::kUserProperty));
}

TEST(Codec, ReturnCodesOf311MapToTheNearestReason) {
  const std::pair<ReasonCode, int> rows[] = {{ReasonCode::kUnsupportedProtocolVersion, 1},
                                             {ReasonCode::kClientIdentifierNotValid, 2},
                                             {ReasonCode::kServerBusy, 3},
                                             {ReasonCode::kQuotaExceeded, 3},
                                             {ReasonCode::kBadUserNameOrPassword, 4},
                                             {ReasonCode::kNotAuthorized, 5},
                                             {ReasonCode::kBanned, 5}};
  for (const auto& [reason, code] : rows) {
    std::string bytes;
    encode(Version::k311, Connack{false, reason, {}}, bytes);
    EXPECT_EQ(bytes, std::string("\x20\x02\x00", 3) + static_cast<char>(code)) << to_string(reason);
  }
}

TEST(Codec, TextsThatNoPacketCanHoldThrowAndLeaveTheBufferAlone) {
  const std::string huge(65'536, 'x');
  std::string out = "before";
  EXPECT_THROW(encode(Version::k5, Publish{huge, "", {}, false, false, 0, {}}, out), std::length_error);
  Connect connect;
  connect.client_id = huge;
  EXPECT_THROW(encode(connect, out), std::length_error);
  EXPECT_EQ(out, "before");
  PropertyWriter writer;
  EXPECT_THROW(writer.add(PropertyId::kContentType, huge), std::length_error);
  EXPECT_THROW(writer.add_user(huge, ""), std::length_error);
  EXPECT_THROW(writer.add(PropertyId::kSubscriptionIdentifier, 268'435'456U), std::length_error);
  EXPECT_TRUE(writer.view().empty());
}

}  // namespace
}  // namespace millrace::mqtt
