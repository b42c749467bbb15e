// Statements of the standards that one connection alone can prove and that no other test has as its subject. Ids are
// those of 5.0 unless "3.1.1" stands before them.
#include <array>
#include <string_view>

#include <mqtt_packets.hpp>

#include "connection_harness.hpp"

namespace millrace::mqtt {
namespace {

using namespace std::chrono_literals;
using namespace std::string_view_literals;
using testing::expect_closed;
using testing::is;
using testing::nothing;
using testing::Wire;
using R = ReasonCode;

constexpr Version kBoth[] = {Version::k311, Version::k5};

std::string bytes_of(const Connect& connect) {
  std::string bytes;
  encode(connect, bytes);
  return bytes;
}

template <typename Packet>
std::string bytes_of(Version version, const Packet& packet) {
  std::string bytes;
  encode(version, packet, bytes);
  return bytes;
}

std::string entries_of(Version version, std::size_t count, std::string_view filter = "a") {
  std::string entries;
  for (std::size_t i = 0; i < count; ++i) append_subscription(version, {filter, {}, false, false, {}}, entries);
  return entries;
}

/// Closed for a malformed packet; version 5 is told (by CONNACK before CONNECT was accepted, else by DISCONNECT).
void expect_malformed(Wire& wire, Version version, const Event& event, PacketType told_by) {
  expect_closed(event, CloseCause::kProtocolError, R::kMalformedPacket);
  if (version == Version::k311) {
    EXPECT_TRUE(wire.connection.output().empty());
  } else if (told_by == PacketType::kConnack) {
    EXPECT_EQ(wire.receive<Connack>(told_by).reason, R::kMalformedPacket);
  } else {
    EXPECT_EQ(wire.receive<Disconnect>(told_by).reason, R::kMalformedPacket);
  }
}

// [MQTT-1.5.4-1] [MQTT-1.5.4-2] [MQTT-1.5.7-1], 3.1.1 [MQTT-1.5.3-1] 3.1.1 [MQTT-1.5.3-2]; [MQTT-3.1.3-4]
// [MQTT-3.1.3-11] [MQTT-3.1.3-12] [MQTT-3.3.2-1] [MQTT-3.3.2-13] [MQTT-3.3.2-19] [MQTT-3.8.3-1] [MQTT-3.10.3-1]
TEST(Conformance, StringsThatAreNoUtf8OrHoldANulEndTheConnection) {
  for (const auto bad : {"\xC0\x80"sv, "\xED\xA0\x80"sv, "abc\xC3"sv, "a\0b"sv, "\xF4\x90\x80\x80"sv}) {
    for (const Version version : kBoth) {
      Connect client_id, user_name, will_topic;
      client_id.version = user_name.version = will_topic.version = version;
      client_id.client_id = bad;
      user_name.user_name = bad;
      will_topic.will = Will{bad, "", {}, false, {}};
      for (const Connect* connect : {&client_id, &user_name, &will_topic}) {
        Wire wire;
        expect_malformed(wire, version, wire.connect(*connect), PacketType::kConnack);
      }
      std::string filters;
      append_filter(bad, filters);
      for (const std::string& packet : {bytes_of(version, Publish{bad, "", {}, false, false, 0, {}}),
                                        bytes_of(version, Subscribe{1, {}, entries_of(version, 1, bad)}),
                                        bytes_of(version, Unsubscribe{1, {}, filters})}) {
        Wire wire;
        wire.connect_and_accept(version);
        expect_malformed(wire, version, wire.send(packet), PacketType::kDisconnect);
      }
    }
    PropertyWriter name, value, content_type, response_topic, reason;
    name.add_user(bad, "v");
    value.add_user("k", bad);
    content_type.add(PropertyId::kContentType, bad);
    response_topic.add(PropertyId::kResponseTopic, bad);
    reason.add(PropertyId::kReasonString, bad);
    for (const PropertyWriter* writer : {&name, &value, &content_type, &response_topic}) {
      Wire wire;
      wire.connect_and_accept(Version::k5);
      expect_malformed(wire, Version::k5, wire.publish(0, "t", "p", writer->view()), PacketType::kDisconnect);
    }
    Wire wire;
    wire.connect_and_accept(Version::k5);
    expect_malformed(wire, Version::k5, wire.send(Ack{PacketType::kPuback, 1, R::kSuccess, reason.view()}),
                     PacketType::kDisconnect);
  }
}

// [MQTT-1.5.4-3], 3.1.1 [MQTT-1.5.3-3]; [MQTT-4.7.3-4]
TEST(Conformance, TextsReachTheOwnerByteForByte) {
  for (const Version version : kBoth) {
    Wire wire;
    wire.connect_and_accept(version);
    for (const auto topic : {"\xEF\xBB\xBF/a"sv, "\xC3\x89"sv, "E\xCC\x81"sv, "A/"sv, "a"sv, " "sv}) {
      const Event event = wire.publish(0, topic);
      ASSERT_TRUE(is<PublishReceived>(event));
      EXPECT_EQ(std::get<PublishReceived>(event).publish.topic, topic);
    }
  }
}

// [MQTT-2.1.3-1] [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1] [MQTT-3.14.1-1] [MQTT-3.15.1-1] [MQTT-3.3.1-4],
// 3.1.1 [MQTT-2.2.2-1] 3.1.1 [MQTT-2.2.2-2]
TEST(Conformance, EveryWrongFlagOfAFixedHeaderEndsTheConnection) {
  for (const Version version : kBoth) {
    for (int first = 0x10; first <= 0xFF; ++first) {
      const int type = first >> 4, flags = first & 0x0F;
      const int right = type == 6 || type == 8 || type == 10 ? 2 : 0;
      if (type == 3 ? (flags & 0x06) != 0x06 : flags == right) continue;
      SCOPED_TRACE(first);
      Wire wire;
      wire.connect_and_accept(version);
      const std::string packet{static_cast<char>(first), 5, 0, 1, 't', 0, 1};
      expect_malformed(wire, version, wire.send(packet), PacketType::kDisconnect);
    }
  }
}

// [MQTT-3.1.0-1] [MQTT-3.14.0-1]
TEST(Conformance, NoOtherPacketThanConnectComesFirst) {
  for (const auto& sample : testing::samples()) {
    if ((static_cast<std::uint8_t>(sample.bytes[0]) >> 4) == 1) continue;
    Wire wire;
    expect_closed(wire.send(sample.bytes), CloseCause::kProtocolError, R::kProtocolError);
    EXPECT_TRUE(wire.connection.output().empty()) << sample.name;
  }
}

// [MQTT-2.2.1-5] [MQTT-2.2.1-6] [MQTT-3.8.4-2] [MQTT-3.10.4-5], 3.1.1 [MQTT-2.3.1-6] 3.1.1 [MQTT-2.3.1-7]
TEST(Conformance, AnswersCarryTheIdOfWhatTheyAnswer) {
  for (const Version version : kBoth) {
    for (const std::uint16_t id : {std::uint16_t{1}, std::uint16_t{0x0100}, std::uint16_t{65'535}}) {
      Wire wire;
      wire.connect_and_accept(version);
      const std::string number = std::to_string(id);
      wire.publish(id);
      wire.connection.acknowledge(id);
      wire.publish2(id);
      wire.connection.acknowledge(id);
      wire.ack(PacketType::kPubrel, id);
      EXPECT_EQ(wire.said(), "PUBACK " + number + "|PUBREC " + number + "|PUBCOMP " + number);
      const std::array codes{R::kSuccess};
      wire.send(Subscribe{id, {}, entries_of(version, 1)});
      EXPECT_TRUE(wire.connection.suback(id, codes));
      EXPECT_EQ(wire.receive<Suback>(PacketType::kSuback).packet_id, id);
      std::string filters;
      append_filter("a", filters);
      wire.send(Unsubscribe{id, {}, filters});
      EXPECT_TRUE(wire.connection.unsuback(id, codes));
      EXPECT_EQ(wire.receive<Suback>(PacketType::kUnsuback).packet_id, id);
    }
  }
}

// [MQTT-3.8.4-6] [MQTT-3.8.4-5] [MQTT-3.9.3-2], 3.1.1 [MQTT-3.8.4-5] [MQTT-3.9.3-2]
TEST(Conformance, OneCodePerFilterAndOnlyThoseOfTheTable) {
  for (const Version version : kBoth) {
    for (const std::size_t count : {1U, 2U, 256U}) {
      Wire wire;
      wire.connect_and_accept(version);
      wire.send(Subscribe{1, {}, entries_of(version, count)});
      std::vector<ReasonCode> codes;
      for (std::size_t i = 0; i < count; ++i) codes.push_back(static_cast<ReasonCode>(i));
      wire.connection.suback(1, codes);
      // The decoder refuses codes that are not of the table.
      EXPECT_EQ(wire.receive<Suback>(PacketType::kSuback).codes.size(), count);
      EXPECT_TRUE(wire.connection.output().empty());
    }
  }
}

// [MQTT-3.1.2-24] [MQTT-3.1.2-25] [MQTT-3.2.2-19] [MQTT-3.4.2-2] [MQTT-3.4.2-3] [MQTT-3.5.2-2] [MQTT-3.5.2-3]
// [MQTT-3.6.2-2] [MQTT-3.7.2-2] [MQTT-3.9.2-1] [MQTT-3.11.2-1] [MQTT-3.14.2-3] [MQTT-4.13.2-1]
TEST(Conformance, NoPacketIsLargerThanTheClientTakes) {
  int accepted = 0;
  for (std::uint32_t maximum = 1; maximum <= 120; ++maximum) {
    PropertyWriter writer;
    writer.add(PropertyId::kMaximumPacketSize, maximum).add(PropertyId::kTopicAliasMaximum, 4U);
    Connect connect;
    connect.client_id = "c";
    connect.properties = writer.view();
    const std::string long_text(60, 'r');
    const UserProperty property{"k", long_text};
    const std::array codes{R::kSuccess};
    std::string filters;
    for (int i = 0; i < 20; ++i) append_filter("a", filters);
    Wire refused, wire;
    refused.connect(connect);
    refused.connection.refuse(R::kNotAuthorized, long_text);
    wire.connect(connect);
    if (wire.accept()) {
      ++accepted;
      for (std::size_t size = 1; size < 130; size += 7) {
        wire.offer("topic", std::string(size, 'm'), Qos::kAtLeastOnce);
      }
      wire.publish(1);
      wire.publish2(2);
      wire.connection.acknowledge(1, {R::kQuotaExceeded, long_text, {&property, 1}});
      wire.connection.acknowledge(2, {R::kSuccess, long_text, {}});
      wire.ack(PacketType::kPubrel, 9);
      wire.ack(PacketType::kPubrec, 9);
      wire.connection.pump(wire.now);
      wire.send(Subscribe{3, {}, entries_of(Version::k5, 20)});
      wire.connection.suback(3, codes, {long_text, {}});
      wire.send(Unsubscribe{4, {}, filters});
      wire.connection.unsuback(4, codes, {long_text, {}});
      EXPECT_EQ(wire.connection.state(), ConnectionState::kConnected);
      wire.connection.disconnect(R::kServerShuttingDown, long_text);
    }
    EXPECT_EQ(wire.connection.state(), ConnectionState::kClosed);
    for (Wire* each : {&wire, &refused}) {
      for (std::string_view rest = each->connection.output(); !rest.empty();) {
        Frame frame;
        ASSERT_EQ(next_frame(rest, 1 << 20, frame).status, FrameStatus::kComplete);
        EXPECT_LE(frame.size, maximum) << to_string(frame.type);
        rest.remove_prefix(frame.size);
      }
    }
  }
  EXPECT_GT(accepted, 90);
}

// [MQTT-3.2.2-1] [MQTT-3.2.2-6] [MQTT-3.2.2-8] [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.14.2-1] [MQTT-3.14.2-2]
TEST(Conformance, WhateverTheOwnerSaysEachPacketKeepsToItsTable) {
  for (const Version version : kBoth) {
    for (int code = 0; code < 256; ++code) {
      const auto reason = static_cast<ReasonCode>(code);
      Connect connect;
      connect.version = version;
      connect.client_id = "c";
      Wire refused;
      refused.connect(connect);
      refused.connection.refuse(reason);
      EXPECT_EQ(refused.connection.output()[2], 0) << "flags of CONNACK";
      EXPECT_NE(refused.receive<Connack>(PacketType::kConnack).reason, R::kSuccess);
      EXPECT_EQ(refused.connection.state(), ConnectionState::kClosed);
      Wire wire;
      wire.connect_and_accept(version);
      wire.publish(1);
      wire.publish2(2);
      wire.connection.acknowledge(1, {reason, {}, {}});
      wire.connection.acknowledge(2, {reason, {}, {}});
      wire.receive<Ack>(PacketType::kPuback);
      wire.receive<Ack>(PacketType::kPubrec);
      wire.connection.disconnect(reason);
      if (version == Version::k5) {
        const auto disconnect = wire.receive<Disconnect>(PacketType::kDisconnect);
        EXPECT_NE(disconnect.reason, R::kDisconnectWithWill);
        EXPECT_FALSE(disconnect.properties.has(PropertyId::kSessionExpiryInterval));
      }
      EXPECT_TRUE(wire.connection.output().empty());
    }
  }
}

// [MQTT-3.2.0-1] [MQTT-3.2.0-2] [MQTT-3.12.4-1]
TEST(Conformance, ConnackIsFirstAndComesOnce) {
  for (const Version version : kBoth) {
    Connect connect;
    connect.version = version;
    connect.client_id = "c";
    std::string bytes = bytes_of(connect);
    for (int i = 0; i < 3; ++i) encode_pingreq(bytes);
    bytes += bytes_of(version, Subscribe{1, {}, entries_of(version, 1)});
    Wire wire;
    wire.session = std::make_shared<Session>("c", SessionLimits{});
    wire.offer("t", "waits", Qos::kAtLeastOnce);
    ASSERT_TRUE(is<ConnectRequested>(wire.send(bytes)));
    EXPECT_FALSE(wire.connection.pump(wire.now));
    EXPECT_EQ(wire.said(), "");
    ASSERT_TRUE(wire.accept());
    EXPECT_TRUE(is<SubscribeRequested>(wire.send("")));
    wire.connection.suback(1, {});
    wire.connection.pump(wire.now);
    wire.connection.refuse(R::kNotAuthorized);
    EXPECT_FALSE(wire.accept());
    EXPECT_EQ(wire.said(), "CONNACK|PINGRESP|PINGRESP|PINGRESP|SUBACK|PUBLISH1 #1 t waits");
  }
}

// [MQTT-3.1.4-6] [MQTT-3.1.2-30] [MQTT-4.12.0-1] [MQTT-4.12.0-4] [MQTT-3.2.2-7], 3.1.1 [MQTT-3.1.4-5] [MQTT-3.2.2-5]
TEST(Conformance, NothingIsProcessedAfterARefusal) {
  for (const Version version : kBoth) {
    Connect connect;
    connect.version = version;
    connect.client_id = "c";
    Wire wire;
    wire.send(bytes_of(connect) + bytes_of(version, Publish{"t", "", {}, false, false, 0, {}}));
    wire.connection.refuse(R::kBadUserNameOrPassword);
    EXPECT_EQ(wire.said(), "CONNACK");
    EXPECT_TRUE(nothing(wire.send("")));
    EXPECT_EQ(wire.connection.state(), ConnectionState::kClosed);
  }
  PropertyWriter method;
  method.add(PropertyId::kAuthenticationMethod, "SCRAM");
  Connect connect;
  connect.properties = method.view();
  Wire wire;
  expect_closed(wire.send(bytes_of(connect) + bytes_of(Version::k5, Publish{"t", "", {}, false, false, 0, {}})),
                CloseCause::kProtocolError, R::kBadAuthenticationMethod);
  EXPECT_TRUE(nothing(wire.send("")));
}

// [MQTT-3.14.4-1] [MQTT-3.14.4-2], 3.1.1 [MQTT-3.14.4-2]
TEST(Conformance, NothingIsProcessedAfterDisconnect) {
  for (const Version version : kBoth) {
    Wire wire;
    wire.connect_and_accept(version);
    const Publish publish{"t", "", Qos::kAtLeastOnce, false, false, 1, {}};
    EXPECT_TRUE(is<Closed>(wire.send(bytes_of(version, Disconnect{}) + bytes_of(version, publish))));
    EXPECT_TRUE(nothing(wire.send("")));
    EXPECT_EQ(wire.said(), "");
    Wire other;
    other.connect_and_accept(version);
    other.connection.disconnect(R::kServerShuttingDown);
    other.said();
    EXPECT_TRUE(nothing(other.send(publish)));
    EXPECT_FALSE(other.connection.acknowledge(1));
    EXPECT_EQ(other.said(), "");
  }
}

// [MQTT-3.1.2-27] [MQTT-3.1.2-28] [MQTT-4.12.0-6] [MQTT-3.2.2-9] [MQTT-2.2.2-1]
TEST(Conformance, ConnackOfAServerThatRestrictsNothingNamesOnlyItsLimits) {
  Wire wire;
  PropertyWriter writer;
  writer.add(PropertyId::kRequestResponseInformation, 1U).add(PropertyId::kSessionExpiryInterval, 3600U);
  Connect connect;
  connect.client_id = "c";
  connect.properties = writer.view();
  const Event event = wire.connect(connect);
  EXPECT_EQ(std::get<ConnectRequested>(event).session_expiry_s, 3600U);
  ASSERT_TRUE(wire.accept({.session_present = true, .session_expiry_s = 3600, .offers = {}}));
  const auto connack = wire.receive<Connack>(PacketType::kConnack);
  EXPECT_TRUE(connack.session_present);  // [MQTT-3.2.2-3]
  PropertyReader reader = connack.properties.reader();
  for (Property property; reader.next(property);) {
    EXPECT_TRUE(property.id == PropertyId::kReceiveMaximum || property.id == PropertyId::kMaximumPacketSize ||
                property.id == PropertyId::kTopicAliasMaximum)
        << static_cast<int>(property.id);
  }
}

// 3.1.1 [MQTT-3.1.2-4] [MQTT-3.1.2-6]; section 3.1.2.11.2
TEST(Conformance, WhatAClientAsksOfItsSession) {
  PropertyWriter writer;
  writer.add(PropertyId::kSessionExpiryInterval, 60U).add(PropertyId::kReceiveMaximum, 9U);
  struct Row {
    Version version;
    bool clean_start;
    Properties properties;
    std::uint32_t expiry;
    std::uint16_t receive_maximum;
  };
  const Row rows[] = {{Version::k311, true, {}, 0, 65535},
                      {Version::k311, false, {}, kNeverExpires, 65535},
                      {Version::k5, false, {}, 0, 65535},
                      {Version::k5, true, writer.view(), 60, 9}};
  for (const Row& row : rows) {
    Wire wire;
    Connect connect;
    connect.version = row.version;
    connect.clean_start = row.clean_start;
    connect.client_id = "c";
    connect.properties = row.properties;
    const Event event = wire.connect(connect);
    const auto& requested = std::get<ConnectRequested>(event);
    EXPECT_EQ(requested.session_expiry_s, row.expiry);
    EXPECT_EQ(requested.receive_maximum, row.receive_maximum);
    EXPECT_EQ(requested.connect.clean_start, row.clean_start);
  }
}

// Section 3.14.2.2.2
TEST(Conformance, DisconnectMayChangeTheSessionExpiryThatConnectAskedFor) {
  PropertyWriter some, zero;
  some.add(PropertyId::kSessionExpiryInterval, 60U);
  zero.add(PropertyId::kSessionExpiryInterval, 0U);
  const auto closed = [](const Properties& connect, const Properties& disconnect) {
    Wire wire;
    wire.connect_and_accept(Version::k5, connect);
    return std::get<Closed>(wire.send(Disconnect{R::kSuccess, disconnect}));
  };
  EXPECT_EQ(closed(some.view(), {}).session_expiry_s, std::nullopt);
  EXPECT_EQ(closed(some.view(), zero.view()).session_expiry_s, 0U);
  EXPECT_EQ(closed(some.view(), some.view()).session_expiry_s, 60U);
  EXPECT_EQ(closed({}, zero.view()).cause, CloseCause::kClientDisconnect);
  EXPECT_EQ(closed({}, some.view()).reason, R::kProtocolError);
  EXPECT_EQ(closed(zero.view(), some.view()).reason, R::kProtocolError);
}

// [MQTT-3.1.3-5]
TEST(Conformance, ClientIdsOfUpTo23LettersAndDigitsAreTaken) {
  const std::string alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  for (const Version version : kBoth) {
    for (std::size_t at = 0; at < alphabet.size(); ++at) {
      for (const std::string& id : {alphabet.substr(at, 1), (alphabet + alphabet).substr(at, 23)}) {
        Wire wire;
        Connect connect;
        connect.version = version;
        connect.client_id = id;
        ASSERT_TRUE(is<ConnectRequested>(wire.connect(connect))) << id;
        EXPECT_TRUE(wire.accept());
      }
    }
  }
}

// [MQTT-3.2.2-15], section 4.13.1
TEST(Conformance, APacketOfTheMaximumSizeIsTakenAndOneByteMoreIsNot) {
  ServerOptions options;
  options.maximum_packet_size = 100;
  for (const Version version : kBoth) {
    const std::size_t most = version == Version::k5 ? 94U : 95U;  // 2 header, 3 topic, property length
    Wire wire(options);
    wire.connect_and_accept(version);
    EXPECT_TRUE(is<PublishReceived>(wire.publish(0, "t", std::string(most, 'x'))));
    const std::string large = bytes_of(version, Publish{"t", std::string(most + 1, 'x'), {}, false, false, 0, {}});
    expect_closed(wire.send(large.substr(0, 2)), CloseCause::kProtocolError, R::kPacketTooLarge);
  }
}

// [MQTT-3.3.2-7] [MQTT-3.3.2-12] [MQTT-3.2.2-17] [MQTT-3.2.2-18] [MQTT-3.3.2-8]
TEST(Conformance, TopicAliasesFromTheClient) {
  const auto alias = [](std::uint32_t number) {
    PropertyWriter writer;
    writer.add(PropertyId::kTopicAlias, number);
    return writer;
  };
  ServerOptions options;
  options.topic_alias_maximum = 5;
  Wire wire(options);
  wire.connect_and_accept(Version::k5);
  for (std::uint32_t number = 1; number <= 5; ++number) {
    wire.publish(0, "topic" + std::to_string(number), "", alias(number).view());
  }
  for (std::uint32_t number = 5; number >= 1; --number) {
    const Event event = wire.publish(0, "", "", alias(number).view());
    ASSERT_TRUE(is<PublishReceived>(event));
    EXPECT_EQ(std::get<PublishReceived>(event).publish.topic, "topic" + std::to_string(number));
  }
  expect_closed(wire.publish(0, "t", "", alias(6).view()), CloseCause::kProtocolError, R::kTopicAliasInvalid);
  Wire next(options);
  next.session = wire.session;
  next.connect_and_accept(Version::k5);
  expect_closed(next.publish(0, "", "", alias(1).view()), CloseCause::kProtocolError, R::kProtocolError);
  options.topic_alias_maximum = 0;
  Wire none(options);
  none.connect(Connect{});
  ASSERT_TRUE(none.accept());
  EXPECT_FALSE(none.receive<Connack>(PacketType::kConnack).properties.has(PropertyId::kTopicAliasMaximum));
  expect_closed(none.publish(0, "t", "", alias(1).view()), CloseCause::kProtocolError, R::kTopicAliasInvalid);
}

// [MQTT-4.3.2-5], 3.1.1 [MQTT-4.3.2-2]; [MQTT-4.3.2-4]
TEST(Conformance, AfterPubackAnIdIsANewMessageWhateverDupSays) {
  for (const Version version : kBoth) {
    Wire wire;
    wire.connect_and_accept(version);
    for (int i = 0; i < 3; ++i) {
      const Event event = wire.send(Publish{"t", "p", Qos::kAtLeastOnce, true, false, 7, {}});
      ASSERT_TRUE(is<PublishReceived>(event));
      EXPECT_TRUE(std::get<PublishReceived>(event).publish.dup);
      EXPECT_EQ(wire.said(), "");
      wire.connection.acknowledge(7);
      EXPECT_EQ(wire.said(), "PUBACK 7");
    }
  }
}

// [MQTT-3.3.4-7] [MQTT-4.9.0-2] [MQTT-4.9.0-3] [MQTT-3.3.4-8] [MQTT-3.3.4-10]
TEST(Conformance, AtTheReceiveMaximumAllElseIsStillAnswered) {
  ServerOptions options;
  options.receive_maximum = 1;
  PropertyWriter writer;
  writer.add(PropertyId::kReceiveMaximum, 1U);
  Wire wire(options);
  wire.connect_and_accept(Version::k5, writer.view());
  wire.publish2(1);
  wire.connection.acknowledge(1);
  wire.offer("t", "1", Qos::kAtLeastOnce);
  wire.offer("t", "2", Qos::kAtLeastOnce);
  wire.connection.pump(wire.now);
  EXPECT_EQ(wire.said(), "PUBREC 1|PUBLISH1 #1 t 1");
  std::string ping;
  encode_pingreq(ping);
  EXPECT_TRUE(nothing(wire.send(ping)));
  EXPECT_TRUE(is<PublishReceived>(wire.publish(0)));
  EXPECT_TRUE(is<SubscribeRequested>(wire.send(Subscribe{3, {}, entries_of(Version::k5, 1)})));
  wire.connection.suback(3, {});
  wire.ack(PacketType::kPubrel, 1);
  EXPECT_EQ(wire.said(), "PINGRESP|SUBACK|PUBCOMP 1");
  EXPECT_TRUE(is<Closed>(wire.send(Disconnect{})));
}

// [MQTT-4.1.0-1], 3.1.1 [MQTT-4.1.0-1] [MQTT-4.1.0-2]; [MQTT-3.1.2-22]
TEST(Conformance, StateLastsAsLongAsTheConnection) {
  for (const Version version : kBoth) {
    Wire wire;
    wire.connect_and_accept(version, {}, 60);
    wire.publish(1);
    wire.publish2(2);
    wire.publish2(3);
    wire.connection.acknowledge(2);
    std::string ping;
    encode_pingreq(ping);
    for (int minute = 0; minute < 1000; ++minute) {
      wire.now += 60s;
      EXPECT_TRUE(nothing(wire.connection.on_timer(wire.now)));
      EXPECT_TRUE(nothing(wire.send(ping)));
    }
    wire.connection.output().clear();
    EXPECT_TRUE(nothing(wire.publish2(2, true)));
    EXPECT_TRUE(wire.connection.acknowledge(3));
    EXPECT_TRUE(wire.connection.acknowledge(1));
    EXPECT_EQ(wire.said(), "PUBACK 1|PUBREC 2|PUBREC 3");
  }
}

// [MQTT-3.3.1-3], 3.1.1 [MQTT-3.3.1-3]; [MQTT-3.3.1-2]
TEST(Conformance, DupOfTheReceivedMessageIsNotPassedOn) {
  for (const Version version : kBoth) {
    Wire wire;
    wire.connect_and_accept(version);
    const Publish received{"t", "p", Qos::kAtLeastOnce, true, false, 1, {}};
    for (const Qos qos : {Qos::kAtMostOnce, Qos::kAtLeastOnce}) {
      wire.session->offer({make_message(received, wire.now), qos, false, {}}, wire.now);
    }
    wire.connection.pump(wire.now);
    EXPECT_EQ(wire.said(), "PUBLISH0 t p|PUBLISH1 #1 t p");
  }
}

// 3.1.1 [MQTT-4.6.0-4]
TEST(Conformance, PubrelsLeaveInTheOrderOfThePubrecs) {
  for (const Version version : kBoth) {
    Wire wire;
    wire.connect_and_accept(version);
    for (const char* payload : {"1", "2", "3"}) wire.offer("t", payload, Qos::kExactlyOnce);
    wire.connection.pump(wire.now);
    wire.said();
    for (const std::uint16_t id : {std::uint16_t{3}, std::uint16_t{1}, std::uint16_t{2}}) {
      wire.ack(PacketType::kPubrec, id);
    }
    EXPECT_EQ(wire.said(), "PUBREL 3|PUBREL 1|PUBREL 2");
  }
}

// [MQTT-4.4.0-2]
TEST(Conformance, ARefusedDeliveryIsNotSentAgain) {
  Wire first;
  first.connect_and_accept(Version::k5);
  first.offer("t", "1", Qos::kAtLeastOnce);
  first.offer("t", "2", Qos::kExactlyOnce);
  first.connection.pump(first.now);
  first.ack(PacketType::kPuback, 1, R::kNotAuthorized);
  first.ack(PacketType::kPubrec, 2, R::kNotAuthorized);
  Wire second;
  second.session = first.session;
  second.connect_and_accept(Version::k5);
  EXPECT_FALSE(second.connection.pump(second.now));
  EXPECT_EQ(second.said(), "");
}

}  // namespace
}  // namespace millrace::mqtt
