// Packets that break one rule each, with the reason code that section 4.13 asks for.
#include <span>

#include <gtest/gtest.h>
#include <mqtt_packets.hpp>

namespace millrace::mqtt {
namespace {

using R = ReasonCode;
constexpr Version kV3 = Version::k311;
constexpr Version kV5 = Version::k5;

std::string unhex(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i < hex.size();) {
    if (hex[i] == ' ') {
      ++i;
      continue;
    }
    bytes.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
    i += 2;
  }
  return bytes;
}

struct FrameCase {
  const char* description;
  const char* hex;
};

// [MQTT-2.1.3-1] [MQTT-1.5.5-1], 3.1.1 [MQTT-2.2.2-2]
TEST(Malformed, FixedHeaders) {
  const FrameCase cases[] = {
      {"packet type 0", "00 00"},
      {"CONNECT with flags", "11 00"},
      {"CONNACK with flags", "28 02"},
      {"PUBACK with flags", "42 02"},
      {"PUBREL without its flag", "60 02"},
      {"PUBREL with another flag", "63 02"},
      {"SUBSCRIBE without its flag", "80 02"},
      {"UNSUBSCRIBE with flags", "A1 02"},
      {"PINGREQ with flags", "C1 00"},
      {"DISCONNECT with flags", "E8 00"},
      {"AUTH with flags", "F1 00"},
      {"length of five bytes", "30 80 80 80 80 01"},
      {"length of four bytes that go on", "30 FF FF FF FF"},
      {"length longer than needed", "30 80 00"},
      {"length longer than needed, three bytes", "30 FF 80 00"},
  };
  for (const auto& row : cases) {
    Frame frame;
    const auto result = next_frame(unhex(row.hex), 1 << 28, frame);
    EXPECT_EQ(result.status, FrameStatus::kMalformed) << row.description;
    EXPECT_EQ(result.fault.code, R::kMalformedPacket) << row.description;
  }
}

struct BodyCase {
  const char* description;
  Version version;
  std::uint8_t first;
  const char* body;
  R reason;
};

void expect_faults(std::span<const BodyCase> cases) {
  for (const auto& row : cases) {
    SCOPED_TRACE(row.description);
    const std::string body = unhex(row.body);
    ASSERT_LT(body.size(), 128U);
    std::string bytes{static_cast<char>(row.first), static_cast<char>(body.size())};
    bytes += body;
    Frame frame;
    ASSERT_EQ(next_frame(bytes, 1 << 20, frame).status, FrameStatus::kComplete);
    Fault fault;
    EXPECT_FALSE(testing::recode(frame, row.version, fault));
    EXPECT_EQ(fault.code, row.reason) << (fault.rule == nullptr ? "no fault" : fault.rule);
  }
}

// [MQTT-3.1.2-1] [MQTT-3.1.2-2] [MQTT-3.1.2-3] [MQTT-3.1.2-9] [MQTT-3.1.2-11] [MQTT-3.1.2-12] [MQTT-3.1.2-13]
// [MQTT-3.1.2-16] [MQTT-3.1.2-17] [MQTT-3.1.2-18] [MQTT-3.1.2-19] [MQTT-3.1.3-1] [MQTT-3.1.3-3] [MQTT-3.1.4-1]
// [MQTT-4.9.0-1], 3.1.1 [MQTT-3.1.2-22] [MQTT-3.1.4-1]
TEST(Malformed, Connect) {
  // name and level, flags, keep alive, [properties], client id, ...
  const BodyCase cases[] = {
      {"no protocol name", kV3, 0x10, "00 00 04 02 00 00 00 00", R::kMalformedPacket},
      {"MQTT 3.1", kV3, 0x10, "00 06 4D5149736470 03 02 00 00 00 00", R::kUnsupportedProtocolVersion},
      {"level 3", kV3, 0x10, "00 04 4D515454 03 02 00 00 00 00", R::kUnsupportedProtocolVersion},
      {"level 6", kV5, 0x10, "00 04 4D515454 06 02 00 00 00 00", R::kUnsupportedProtocolVersion},
      {"name in lower case", kV3, 0x10, "00 04 6D717474 04 02 00 00 00 00", R::kMalformedPacket},
      {"reserved flag", kV3, 0x10, "00 04 4D515454 04 03 00 00 00 00", R::kMalformedPacket},
      {"will QoS 3", kV3, 0x10, "00 04 4D515454 04 1E 00 00 00 00 00 01 77 00 00", R::kMalformedPacket},
      {"will QoS without will", kV3, 0x10, "00 04 4D515454 04 0A 00 00 00 00", R::kMalformedPacket},
      {"will retain without will", kV3, 0x10, "00 04 4D515454 04 22 00 00 00 00", R::kMalformedPacket},
      {"password without user, 3.1.1", kV3, 0x10, "00 04 4D515454 04 42 00 00 00 00 00 01 70", R::kMalformedPacket},
      {"client id no UTF-8", kV3, 0x10, "00 04 4D515454 04 02 00 00 00 01 FF", R::kMalformedPacket},
      {"client id with U+0000", kV3, 0x10, "00 04 4D515454 04 02 00 00 00 01 00", R::kMalformedPacket},
      {"client id beyond the packet", kV3, 0x10, "00 04 4D515454 04 02 00 00 00 02 61", R::kMalformedPacket},
      {"will topic with wildcard", kV3, 0x10, "00 04 4D515454 04 06 00 00 00 00 00 01 23 00 00", R::kTopicNameInvalid},
      {"will topic no UTF-8", kV3, 0x10, "00 04 4D515454 04 06 00 00 00 00 00 01 FF 00 00", R::kMalformedPacket},
      {"will payload missing", kV3, 0x10, "00 04 4D515454 04 06 00 00 00 00 00 01 77", R::kMalformedPacket},
      {"user name missing", kV3, 0x10, "00 04 4D515454 04 82 00 00 00 00", R::kMalformedPacket},
      {"user name no UTF-8", kV3, 0x10, "00 04 4D515454 04 82 00 00 00 00 00 01 C0", R::kMalformedPacket},
      {"password missing", kV3, 0x10, "00 04 4D515454 04 C2 00 00 00 00 00 01 75", R::kMalformedPacket},
      {"bytes at the end", kV3, 0x10, "00 04 4D515454 04 02 00 00 00 00 00", R::kMalformedPacket},
      {"no property length", kV5, 0x10, "00 04 4D515454 05 02 00 00", R::kMalformedPacket},
      {"properties beyond the packet", kV5, 0x10, "00 04 4D515454 05 02 00 00 05 11 00 00", R::kMalformedPacket},
      {"property length longer than needed", kV5, 0x10, "00 04 4D515454 05 02 00 00 80 00 00 00", R::kMalformedPacket},
      {"unknown property", kV5, 0x10, "00 04 4D515454 05 02 00 00 02 7F 00 00 00", R::kMalformedPacket},
      {"unknown property 4", kV5, 0x10, "00 04 4D515454 05 02 00 00 02 04 00 00 00", R::kMalformedPacket},
      {"property of two bytes id", kV5, 0x10, "00 04 4D515454 05 02 00 00 03 91 01 00 00 00", R::kMalformedPacket},
      {"property that ends early", kV5, 0x10, "00 04 4D515454 05 02 00 00 03 11 00 00 00 00", R::kMalformedPacket},
      {"property of PUBLISH", kV5, 0x10, "00 04 4D515454 05 02 00 00 03 23 00 01 00 00", R::kProtocolError},
      {"session expiry twice", kV5, 0x10, "00 04 4D515454 05 02 00 00 0A 11 00000001 11 00000001 00 00",
       R::kProtocolError},
      {"receive maximum 0", kV5, 0x10, "00 04 4D515454 05 02 00 00 03 21 00 00 00 00", R::kProtocolError},
      {"maximum packet size 0", kV5, 0x10, "00 04 4D515454 05 02 00 00 05 27 00000000 00 00", R::kProtocolError},
      {"request problem information 2", kV5, 0x10, "00 04 4D515454 05 02 00 00 02 17 02 00 00", R::kProtocolError},
      {"request response information 2", kV5, 0x10, "00 04 4D515454 05 02 00 00 02 19 02 00 00", R::kProtocolError},
      {"authentication data alone", kV5, 0x10, "00 04 4D515454 05 02 00 00 04 16 00 01 61 00 00", R::kProtocolError},
      {"user property no UTF-8", kV5, 0x10, "00 04 4D515454 05 02 00 00 07 26 00 01 FF 00 01 61 00 00",
       R::kMalformedPacket},
      {"user property without value", kV5, 0x10, "00 04 4D515454 05 02 00 00 04 26 00 01 61 00 00",
       R::kMalformedPacket},
      {"will property in CONNECT", kV5, 0x10, "00 04 4D515454 05 02 00 00 05 18 00000001 00 00", R::kProtocolError},
      {"topic alias in will", kV5, 0x10, "00 04 4D515454 05 06 00 00 00 00 00 03 23 00 01 00 01 77 00 00",
       R::kProtocolError},
      {"will payload format 2", kV5, 0x10, "00 04 4D515454 05 06 00 00 00 00 00 02 01 02 00 01 77 00 00",
       R::kProtocolError},
  };
  expect_faults(cases);
}

TEST(Malformed, ConnectSaysItsVersionEvenWhenItIsBroken) {
  const std::pair<const char*, Version> rows[] = {{"10 0C 00 04 4D515454 05 03 00 00 00 00", kV5},
                                                  {"10 0C 00 04 4D515454 04 03 00 00 00 00", kV3},
                                                  {"10 0C 00 04 4D515454 06 02 00 00 00 00", kV5},
                                                  {"10 0C 00 04 4D515454 03 02 00 00 00 00", kV3}};
  for (const auto& [hex, version] : rows) {
    const std::string bytes = unhex(hex);
    Frame frame;
    ASSERT_EQ(next_frame(bytes, 100, frame).status, FrameStatus::kComplete);
    Connect connect;
    EXPECT_TRUE(decode(frame, connect));
    EXPECT_EQ(connect.version, version) << hex;
  }
}

// [MQTT-2.2.1-2] [MQTT-2.2.1-3] [MQTT-3.3.1-2] [MQTT-3.3.1-4] [MQTT-3.3.2-1] [MQTT-3.3.2-2] [MQTT-3.3.2-8]
// [MQTT-3.3.2-14] [MQTT-4.7.0-1] [MQTT-4.7.3-1] [MQTT-4.7.3-2], 3.1.1 [MQTT-2.3.1-1] [MQTT-4.7.1-1]
TEST(Malformed, Publish) {
  const BodyCase cases[] = {
      {"QoS 3", kV3, 0x36, "00 01 61 00 01", R::kMalformedPacket},
      {"DUP at QoS 0", kV3, 0x38, "00 01 61", R::kMalformedPacket},
      {"no topic", kV3, 0x30, "", R::kMalformedPacket},
      {"topic beyond the packet", kV3, 0x30, "00 05 61", R::kMalformedPacket},
      {"empty topic, 3.1.1", kV3, 0x30, "00 00 61", R::kMalformedPacket},
      {"wildcard +", kV5, 0x30, "00 03 61 2F 2B 00", R::kTopicNameInvalid},
      {"wildcard #", kV3, 0x30, "00 01 23", R::kTopicNameInvalid},
      {"topic no UTF-8", kV5, 0x30, "00 02 C3 28 00", R::kMalformedPacket},
      {"topic with U+0000", kV3, 0x30, "00 03 61 00 62", R::kMalformedPacket},
      {"topic with a surrogate", kV3, 0x30, "00 03 ED A0 80", R::kMalformedPacket},
      {"no packet id", kV3, 0x32, "00 01 61 00", R::kMalformedPacket},
      {"packet id 0", kV3, 0x32, "00 01 61 00 00", R::kProtocolError},
      {"empty topic without alias", kV5, 0x30, "00 00 00", R::kProtocolError},
      {"topic alias 0", kV5, 0x30, "00 01 61 03 23 00 00", R::kTopicAliasInvalid},
      {"topic alias twice", kV5, 0x30, "00 01 61 06 23 00 01 23 00 01", R::kProtocolError},
      {"payload format 2", kV5, 0x30, "00 01 61 02 01 02", R::kProtocolError},
      {"subscription identifier 0", kV5, 0x30, "00 01 61 02 0B 00", R::kProtocolError},
      {"subscription identifier of five bytes", kV5, 0x30, "00 01 61 06 0B 80 80 80 80 01", R::kMalformedPacket},
      {"response topic with wildcard", kV5, 0x30, "00 01 61 04 08 00 01 23", R::kProtocolError},
      {"content type no UTF-8", kV5, 0x30, "00 01 61 04 03 00 01 80", R::kMalformedPacket},
      {"session expiry in PUBLISH", kV5, 0x30, "00 01 61 05 11 00000001", R::kProtocolError},
      {"property length missing", kV5, 0x30, "00 01 61", R::kMalformedPacket},
      {"property length beyond the packet", kV5, 0x30, "00 01 61 09 01 00", R::kMalformedPacket},
  };
  expect_faults(cases);
}

// [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1] [MQTT-3.14.2-1] [MQTT-3.15.2-1] [MQTT-4.12.0-5]
TEST(Malformed, Acknowledgements) {
  const BodyCase cases[] = {
      {"CONNACK empty", kV3, 0x20, "", R::kMalformedPacket},
      {"CONNACK flags", kV3, 0x20, "02 00", R::kMalformedPacket},
      {"CONNACK return code 6", kV3, 0x20, "00 06", R::kMalformedPacket},
      {"CONNACK session present and refused", kV3, 0x20, "01 05", R::kProtocolError},
      {"CONNACK reason of DISCONNECT", kV5, 0x20, "00 8B 00", R::kMalformedPacket},
      {"CONNACK without properties", kV5, 0x20, "00 00", R::kMalformedPacket},
      {"CONNACK maximum QoS 2", kV5, 0x20, "00 00 02 24 02", R::kProtocolError},
      {"PUBACK of one byte", kV3, 0x40, "00", R::kMalformedPacket},
      {"PUBACK id 0", kV3, 0x40, "00 00", R::kProtocolError},
      {"PUBACK with reason in 3.1.1", kV3, 0x40, "00 01 00", R::kMalformedPacket},
      {"PUBACK with a reason of SUBACK", kV5, 0x40, "00 01 8F", R::kMalformedPacket},
      {"PUBREL with a reason of PUBACK", kV5, 0x62, "00 01 97", R::kMalformedPacket},
      {"PUBCOMP with topic alias", kV5, 0x70, "00 01 00 03 23 00 01", R::kProtocolError},
      {"PUBREC reason string twice", kV5, 0x50, "00 01 00 08 1F 00 01 61 1F 00 01 61", R::kProtocolError},
      {"SUBACK without codes", kV5, 0x90, "00 01 00", R::kMalformedPacket},
      {"SUBACK code 3", kV3, 0x90, "00 01 03", R::kMalformedPacket},
      {"SUBACK reason of version 5 in 3.1.1", kV3, 0x90, "00 01 87", R::kMalformedPacket},
      {"UNSUBACK with payload in 3.1.1", kV3, 0xB0, "00 01 00", R::kMalformedPacket},
      {"UNSUBACK granted QoS 1", kV5, 0xB0, "00 01 00 01", R::kMalformedPacket},
      {"PINGREQ with content", kV5, 0xC0, "00", R::kMalformedPacket},
      {"DISCONNECT with content in 3.1.1", kV3, 0xE0, "00", R::kMalformedPacket},
      {"DISCONNECT reason of CONNACK", kV5, 0xE0, "84", R::kMalformedPacket},
      {"DISCONNECT property length beyond", kV5, 0xE0, "00 05 11", R::kMalformedPacket},
      {"AUTH reason", kV5, 0xF0, "01 00", R::kMalformedPacket},
      {"AUTH without properties", kV5, 0xF0, "18", R::kMalformedPacket},
      {"AUTH without method", kV5, 0xF0, "18 00", R::kProtocolError},
  };
  expect_faults(cases);
}

// [MQTT-3.8.3-1] [MQTT-3.8.3-2] [MQTT-3.8.3-4] [MQTT-3.8.3-5] [MQTT-3.10.3-1] [MQTT-3.10.3-2] [MQTT-4.7.3-1],
// 3.1.1 [MQTT-3.8.3-3] [MQTT-3.8.3-4]
TEST(Malformed, Subscriptions) {
  const BodyCase cases[] = {
      {"SUBSCRIBE id 0", kV3, 0x82, "00 00 00 01 61 00", R::kProtocolError},
      {"SUBSCRIBE without filter", kV3, 0x82, "00 01", R::kProtocolError},
      {"SUBSCRIBE without options", kV3, 0x82, "00 01 00 01 61", R::kMalformedPacket},
      {"SUBSCRIBE empty filter", kV3, 0x82, "00 01 00 00 00", R::kMalformedPacket},
      {"SUBSCRIBE filter no UTF-8", kV3, 0x82, "00 01 00 01 FE 00", R::kMalformedPacket},
      {"SUBSCRIBE QoS 3", kV3, 0x82, "00 01 00 01 61 03", R::kMalformedPacket},
      {"SUBSCRIBE options of version 5", kV3, 0x82, "00 01 00 01 61 04", R::kMalformedPacket},
      {"SUBSCRIBE reserved options", kV5, 0x82, "00 01 00 00 01 61 40", R::kMalformedPacket},
      {"SUBSCRIBE retain handling 3", kV5, 0x82, "00 01 00 00 01 61 30", R::kProtocolError},
      {"SUBSCRIBE no local shared", kV5, 0x82, "00 01 00 00 0A 24 73 68 61 72 65 2F 67 2F 61 04", R::kProtocolError},
      {"SUBSCRIBE two identifiers", kV5, 0x82, "00 01 04 0B 01 0B 02 00 01 61 00", R::kProtocolError},
      {"UNSUBSCRIBE without filter", kV5, 0xA2, "00 01 00", R::kProtocolError},
      {"UNSUBSCRIBE filter cut", kV3, 0xA2, "00 01 00 02 61", R::kMalformedPacket},
      {"UNSUBSCRIBE empty filter", kV3, 0xA2, "00 01 00 00", R::kMalformedPacket},
      {"UNSUBSCRIBE with a reason string", kV5, 0xA2, "00 01 04 1F 00 01 61 00 01 61", R::kProtocolError},
  };
  expect_faults(cases);
}

}  // namespace
}  // namespace millrace::mqtt
