// What the server turns down, and what the client is told, in both versions.
#include "connection_harness.hpp"

namespace millrace::mqtt {
namespace {

using testing::expect_closed;
using testing::nothing;
using testing::Wire;
using R = ReasonCode;

std::string bytes(std::initializer_list<int> values) {
  std::string out;
  for (const int value : values) out.push_back(static_cast<char>(value));
  return out;
}

TEST(Refusal, FirstPacketMustBeConnect) {
  Wire wire;
  expect_closed(wire.send(bytes({0xC0, 0x00})), CloseCause::kProtocolError, R::kProtocolError);
  EXPECT_TRUE(wire.connection.output().empty());
}

TEST(Refusal, GarbageIsClosedSilently) {
  Wire wire;
  expect_closed(wire.send("GET / HTTP/1.1\r\n"), CloseCause::kProtocolError, R::kMalformedPacket);
  EXPECT_TRUE(wire.connection.output().empty());
}

TEST(Refusal, AHugeConnectIsRefusedByItsHeader) {
  Wire wire;
  expect_closed(wire.send(bytes({0x10, 0xFF, 0xFF, 0xFF, 0x7F})), CloseCause::kProtocolError, R::kPacketTooLarge);
}

TEST(Refusal, ProtocolLevels) {
  Wire old;
  expect_closed(old.send(bytes({0x10, 14, 0, 6, 'M', 'Q', 'I', 's', 'd', 'p', 3, 2, 0, 0, 0, 0})),
                CloseCause::kProtocolError, R::kUnsupportedProtocolVersion);
  EXPECT_EQ(old.connection.output(), bytes({0x20, 2, 0, 1}));  // 3.1.1 [MQTT-3.1.2-2]
  Wire future;
  expect_closed(future.send(bytes({0x10, 12, 0, 4, 'M', 'Q', 'T', 'T', 6, 2, 0, 0, 0, 0})), CloseCause::kProtocolError,
                R::kUnsupportedProtocolVersion);
  EXPECT_EQ(future.receive<Connack>(PacketType::kConnack).reason, R::kUnsupportedProtocolVersion);
}

TEST(Refusal, MalformedConnectIsToldTo5Only) {
  for (const int level : {4, 5}) {
    Wire wire;
    expect_closed(wire.send(bytes({0x10, 12, 0, 4, 'M', 'Q', 'T', 'T', level, 3, 0, 0, 0, 0})),
                  CloseCause::kProtocolError, R::kMalformedPacket);
    if (level == 4) {
      EXPECT_TRUE(wire.connection.output().empty());
    } else {
      EXPECT_EQ(wire.receive<Connack>(PacketType::kConnack).reason, R::kMalformedPacket);
    }
  }
}

TEST(Refusal, ByTheOwner) {
  for (const Version version : {Version::k311, Version::k5}) {
    Wire wire;
    Connect connect;
    connect.version = version;
    connect.client_id = "c";
    wire.connect(connect);
    const UserProperty limit{"limit", "connections"};
    wire.connection.refuse(R::kNotAuthorized, "no such device", {&limit, 1});
    EXPECT_EQ(wire.connection.state(), ConnectionState::kClosed);
    const Connack told = wire.receive<Connack>(PacketType::kConnack);
    EXPECT_EQ(told.reason, R::kNotAuthorized);
    EXPECT_EQ(told.properties.user("limit").value_or(""), version == Version::k5 ? "connections" : "");
    EXPECT_FALSE(wire.accept()) << "too late";
    EXPECT_EQ(wire.connection.state(), ConnectionState::kClosed);
  }
}

TEST(Refusal, EmptyClientIdWithALastingSessionOn311) {
  Wire wire;
  Connect connect;
  connect.version = Version::k311;
  connect.clean_start = false;
  expect_closed(wire.connect(connect), CloseCause::kProtocolError, R::kClientIdentifierNotValid);
  EXPECT_EQ(wire.connection.output(), bytes({0x20, 2, 0, 2}));
}

TEST(Refusal, WillsBeyondTheOffer) {
  Connect qos2, retained;
  qos2.will = Will{"w", "", Qos::kExactlyOnce, false, {}};
  retained.will = Will{"w", "", Qos::kAtMostOnce, true, {}};
  Offers offers;
  EXPECT_FALSE(check_will(qos2, offers));
  EXPECT_FALSE(check_will(retained, offers));
  offers.maximum_qos = Qos::kAtLeastOnce;
  offers.retain = false;
  EXPECT_EQ(check_will(qos2, offers).code, R::kQosNotSupported);         // [MQTT-3.2.2-12]
  EXPECT_EQ(check_will(retained, offers).code, R::kRetainNotSupported);  // [MQTT-3.2.2-13]
  qos2.version = retained.version = Version::k311;
  EXPECT_FALSE(check_will(qos2, offers)) << "3.1.1 could not be told";
  EXPECT_FALSE(check_will(retained, offers));
}

TEST(Refusal, EnhancedAuthentication) {
  PropertyWriter method;
  method.add(PropertyId::kAuthenticationMethod, "SCRAM");
  Connect enhanced;
  enhanced.properties = method.view();
  Wire wire;
  // [MQTT-4.12.0-1]
  expect_closed(wire.connect(enhanced), CloseCause::kProtocolError, R::kBadAuthenticationMethod);
  EXPECT_EQ(wire.receive<Connack>(PacketType::kConnack).reason, R::kBadAuthenticationMethod);
}

TEST(Refusal, ASessionIsNeeded) {
  Wire wire;
  wire.connect(Connect{});
  EXPECT_THROW(static_cast<void>(wire.connection.accept(wire.now, nullptr, 0)), std::invalid_argument);
}

struct Case {
  const char* description;
  Version version;
  std::string bytes;
  R reason;
};

// [MQTT-4.13.1-1] [MQTT-3.1.0-2] [MQTT-3.2.2-11] [MQTT-3.2.2-14] [MQTT-3.2.2-17] [MQTT-3.3.4-6] [MQTT-4.12.0-7],
// 3.1.1 [MQTT-4.8.0-1]
TEST(Refusal, PacketsThatEndAConnection) {
  PropertyWriter alias, unknown_alias, subscription;
  alias.add(PropertyId::kTopicAlias, 17U);
  unknown_alias.add(PropertyId::kTopicAlias, 1U);
  subscription.add(PropertyId::kSubscriptionIdentifier, 1U);
  const auto publish = [](Version version, const Publish& packet) {
    std::string out;
    encode(version, packet, out);
    return out;
  };
  const auto connect = [](Version version) {
    Connect packet;
    packet.version = version;
    packet.client_id = "c";
    std::string out;
    encode(packet, out);
    return out;
  };
  const Version v3 = Version::k311;
  const Version v5 = Version::k5;
  const Publish qos2{"t", "", Qos::kExactlyOnce, false, false, 1, {}};
  Offers offers;
  offers.maximum_qos = Qos::kAtLeastOnce;
  offers.retain = false;
  const Case cases[] = {
      {"QoS 2", v5, publish(v5, qos2), R::kQosNotSupported},
      {"QoS 2", v3, publish(v3, qos2), R::kQosNotSupported},
      {"retained", v5, publish(v5, {"t", "", {}, false, true, 0, {}}), R::kRetainNotSupported},
      {"alias above the maximum", v5, publish(v5, {"t", "", {}, false, false, 0, alias.view()}), R::kTopicAliasInvalid},
      {"alias without topic", v5, publish(v5, {"", "", {}, false, false, 0, unknown_alias.view()}), R::kProtocolError},
      {"subscription id", v5, publish(v5, {"t", "", {}, false, false, 0, subscription.view()}), R::kProtocolError},
      {"topic too long", v5, publish(v5, {std::string(2000, 't'), "", {}, false, false, 0, {}}), R::kTopicNameInvalid},
      {"wildcard", v3, publish(v3, {"#", "", {}, false, false, 0, {}}), R::kTopicNameInvalid},
      {"too large", v5, bytes({0x30, 0xFF, 0xFF, 0x7F}), R::kPacketTooLarge},
      {"too large", v3, bytes({0x30, 0xFF, 0xFF, 0x7F}), R::kPacketTooLarge},
      {"second CONNECT", v5, connect(v5), R::kProtocolError},
      {"second CONNECT", v3, connect(v3), R::kProtocolError},
      {"AUTH", v5, bytes({0xF0, 0}), R::kProtocolError},
      {"AUTH", v3, bytes({0xF0, 0}), R::kMalformedPacket},
      {"PINGRESP", v3, bytes({0xD0, 0}), R::kProtocolError},
      {"CONNACK", v5, bytes({0x20, 3, 0, 0, 0}), R::kProtocolError},
      {"SUBACK", v3, bytes({0x90, 3, 0, 1, 0}), R::kProtocolError},
      {"UNSUBACK", v3, bytes({0xB0, 2, 0, 1}), R::kProtocolError},
      {"reserved flags", v5, bytes({0x82 & 0xF0, 2, 0, 1}), R::kMalformedPacket},
      {"SUBSCRIBE without filter", v3, bytes({0x82, 2, 0, 1}), R::kProtocolError},
      {"DISCONNECT with session expiry", v5, bytes({0xE0, 7, 0, 5, 0x11, 0, 0, 0, 1}), R::kProtocolError},
      {"DISCONNECT with server reference", v5, bytes({0xE0, 6, 0, 4, 0x1C, 0, 1, 'x'}), R::kProtocolError},
  };
  for (const auto& row : cases) {
    SCOPED_TRACE(std::string(row.description) + (row.version == v5 ? " v5" : " v3.1.1"));
    Wire wire;
    wire.connect_and_accept(row.version, {}, 0, {.session_present = false, .session_expiry_s = {}, .offers = offers});
    expect_closed(wire.send(row.bytes), CloseCause::kProtocolError, row.reason);
    EXPECT_EQ(wire.connection.state(), ConnectionState::kClosed);
    if (row.version == v3) {
      EXPECT_TRUE(wire.connection.output().empty());
    } else {
      EXPECT_EQ(wire.receive<Disconnect>(PacketType::kDisconnect).reason, row.reason);
    }
  }
}

TEST(Refusal, AcknowledgementsOfUnknownIds) {
  for (const Version version : {Version::k311, Version::k5}) {
    Wire wire;
    wire.connect_and_accept(version);
    wire.send(Ack{PacketType::kPubrel, 5, R::kSuccess, {}});
    const auto pubcomp = wire.receive<Ack>(PacketType::kPubcomp);
    EXPECT_EQ(pubcomp.packet_id, 5);
    EXPECT_EQ(pubcomp.reason, version == Version::k5 ? R::kPacketIdentifierNotFound : R::kSuccess);
    wire.send(Ack{PacketType::kPubrec, 6, R::kSuccess, {}});
    const auto pubrel = wire.receive<Ack>(PacketType::kPubrel);
    EXPECT_EQ(pubrel.packet_id, 6);
    EXPECT_EQ(pubrel.reason, version == Version::k5 ? R::kPacketIdentifierNotFound : R::kSuccess);
    EXPECT_TRUE(nothing(wire.send(Ack{PacketType::kPuback, 7, R::kSuccess, {}})));
    EXPECT_TRUE(nothing(wire.send(Ack{PacketType::kPubcomp, 8, R::kSuccess, {}})));
    EXPECT_TRUE(wire.connection.output().empty());
    EXPECT_EQ(wire.connection.state(), ConnectionState::kConnected);
  }
}

}  // namespace
}  // namespace millrace::mqtt
