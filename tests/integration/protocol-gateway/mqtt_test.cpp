// The gateway's MQTT side against a real Kafka: what devices may do, and what is in the log afterwards.
#include "gateway_fixture.hpp"
#include "mqtt_client.hpp"

namespace millrace::gateway {
namespace {

using millrace::testing::MqttClient;
using mqtt::PacketType;
using mqtt::Qos;
using mqtt::ReasonCode;
using mqtt::Version;

constexpr const char* kTelemetry = "devices/m-1/telemetry";

class MqttTest : public GatewayFixture {
 protected:
  void SetUp() override {
    GatewayFixture::SetUp();
    if (!app_) return;
    // HTTP may be ready a moment before presence and sessions are read to their ends.
    ASSERT_TRUE(eventually([&] { return client(Version::k5).connect({}).reason == ReasonCode::kSuccess; }));
  }

  MqttClient client(Version version) { return {app_->mqtt_address(), version}; }

  std::string number(std::string_view metric, int value) {
    return "{\"" + std::string(metric) + "\":" + std::to_string(value) + "}";
  }
};

TEST_F(MqttTest, PubackOfVersion5CarriesTheReceiptAndTheReason) {
  MqttClient device = client(Version::k5);
  ASSERT_EQ(device.connect({}).reason, ReasonCode::kSuccess);
  device.publish(1, kTelemetry, R"({"power":3})");
  device.publish(2, "devices/m-1/status", R"({"battery":4})");
  device.publish(3, kTelemetry, "nonsense");
  device.publish(4, "devices/m-2/telemetry", R"({"power":3})");
  device.publish(5, "elsewhere", R"({"power":3})");
  const std::vector<ReasonCode> expected{ReasonCode::kSuccess, ReasonCode::kSuccess, ReasonCode::kPayloadFormatInvalid,
                                         ReasonCode::kNotAuthorized, ReasonCode::kNotAuthorized};
  std::vector<std::string> receipts;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const MqttClient::Answer answer = device.answer();
    EXPECT_EQ(answer.type, PacketType::kPuback);
    EXPECT_EQ(answer.packet_id, i + 1) << "PUBACKs keep the order of the PUBLISHes";
    EXPECT_EQ(answer.reason, expected[i]) << i;
    receipts.push_back(answer.receipt);
  }
  const auto first = stored(receipts[0]);
  ASSERT_TRUE(first.has_value()) << receipts[0];
  EXPECT_EQ(first->delivery.client_id, "client-1");
  EXPECT_EQ(first->delivery.packet_id, 1);
  EXPECT_GT(first->delivery.connection_epoch, 0U);
  const auto second = stored(receipts[1]);
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->points.at(0).metric, "status.battery");
  EXPECT_TRUE(receipts[2].starts_with("dead:")) << receipts[2];
}

// 3.1.1 [MQTT-3.3.5-2]
TEST_F(MqttTest, Version311KeepsBadPayloadsAndClosesOnAForeignTopic) {
  MqttClient device = client(Version::k311);
  ASSERT_EQ(device.connect({}).reason, ReasonCode::kSuccess);
  device.publish(9, kTelemetry, "nonsense");
  EXPECT_EQ(device.answer().type, PacketType::kPuback);
  EXPECT_EQ(testing::read_log(settings_, topics_.telemetry_dead(), 3).size(), 1U);
  device.publish(10, "devices/m-2/telemetry", R"({"power":3})");
  EXPECT_TRUE(device.socket().at_end());
}

// 3.1.1 [MQTT-4.8.0-2]: what Kafka does not take now is not acknowledged; version 3.1.1 can only be told by the end.
TEST_F(MqttTest, WhatKafkaRefusesEndsA311ConnectionWithoutAnAnswer) {
  kafka::Admin admin(settings_);
  const auto allow = [&](const char* bytes) {
    return admin.set_configs(topics_.telemetry(), {{"max.message.bytes", bytes}}, seconds(60));
  };
  const std::string refused = R"({"refused":")" + std::string(2000, 'x') + "\"}";
  ASSERT_TRUE(allow("1000").ok());
  MqttClient old = client(Version::k311), fresh = client(Version::k5);
  ASSERT_EQ(old.connect({}).reason, ReasonCode::kSuccess);
  ASSERT_EQ(fresh.connect({.client_id = "client-2"}).reason, ReasonCode::kSuccess);
  old.publish(1, kTelemetry, refused);
  EXPECT_TRUE(old.socket().at_end());
  fresh.publish(1, kTelemetry, refused);
  // 0x95 is none of those that PUBACK may carry (section 3.4.2.1).
  EXPECT_EQ(fresh.answer().reason, ReasonCode::kImplementationSpecificError);
  EXPECT_TRUE(stored_metric("refused").empty());
  ASSERT_TRUE(allow("1048588").ok());
  MqttClient again = client(Version::k311);
  ASSERT_EQ(again.connect({}).reason, ReasonCode::kSuccess);
  again.publish(1, kTelemetry, refused, Qos::kAtLeastOnce, true);
  EXPECT_EQ(again.answer().type, PacketType::kPuback);
  EXPECT_EQ(stored_metric("refused").size(), 1U);
}

// [MQTT-3.1.4-2]
TEST_F(MqttTest, AWrongTokenIsRefusedInTheClientsVersion) {
  for (const Version version : {Version::k5, Version::k311}) {
    MqttClient device = client(version);
    EXPECT_EQ(device.connect({.password = "mt_wrong"}).reason, ReasonCode::kBadUserNameOrPassword);
    EXPECT_TRUE(device.socket().at_end());
  }
}

TEST_F(MqttTest, AClientIdThatConnectsAgainTakesOverAndItsEpochGrows) {
  MqttClient first = client(Version::k311);
  MqttClient second = client(Version::k5);
  MqttClient third = client(Version::k5);
  for (MqttClient* device : {&first, &second, &third}) {
    ASSERT_EQ(device->connect({}).reason, ReasonCode::kSuccess);
    device->publish(1, kTelemetry, R"({"takeover":1})");
    EXPECT_EQ(device->answer().type, PacketType::kPuback);
  }
  EXPECT_TRUE(first.socket().at_end());
  const MqttClient::Answer told = second.answer();
  EXPECT_EQ(told.type, PacketType::kDisconnect);
  EXPECT_EQ(told.reason, ReasonCode::kSessionTakenOver);
  EXPECT_TRUE(second.socket().at_end());
  const auto batches = stored_metric("takeover");
  ASSERT_EQ(batches.size(), 3U);
  EXPECT_GT(batches[1].delivery.connection_epoch, batches[0].delivery.connection_epoch);
  EXPECT_GT(batches[2].delivery.connection_epoch, batches[1].delivery.connection_epoch);
}

TEST_F(MqttTest, NobodyTakesOverAnotherDevicesClientId) {
  MqttClient one = client(Version::k5);
  MqttClient two = client(Version::k5);
  ASSERT_EQ(one.connect({}).reason, ReasonCode::kSuccess);
  const auto connected = two.connect({.user = "m-2@acme", .password = kSecondToken, .clean = false, .expiry_s = 60});
  ASSERT_EQ(connected.reason, ReasonCode::kSuccess);
  EXPECT_FALSE(connected.session_present);
  one.publish(1, kTelemetry, number("both", 1));
  two.publish(1, "devices/m-2/telemetry", number("both", 2));
  EXPECT_EQ(one.answer().reason, ReasonCode::kSuccess);
  EXPECT_EQ(two.answer().reason, ReasonCode::kSuccess);
}

// [MQTT-3.1.3-6], [MQTT-3.2.2-16]
TEST_F(MqttTest, AnAssignedClientIdIsUniqueAndTheClientsOwn) {
  MqttClient one = client(Version::k5);
  MqttClient two = client(Version::k5);
  const std::string first = one.connect({.client_id = ""}).assigned_id;
  const std::string second = two.connect({.client_id = ""}).assigned_id;
  EXPECT_FALSE(first.empty());
  EXPECT_NE(first, second);
  EXPECT_EQ(first.find('/'), std::string::npos) << "the broker's name of the session is nobody's business";
  one.publish(1, kTelemetry, number("assigned", 1));
  EXPECT_EQ(one.answer().reason, ReasonCode::kSuccess);
  ASSERT_EQ(stored_metric("assigned").size(), 1U);
  EXPECT_EQ(stored_metric("assigned")[0].delivery.client_id, first);
}

TEST_F(MqttTest, Qos2IsOneRecordWithPubrecFromTheDeliveryReport) {
  for (const Version version : {Version::k311, Version::k5}) {
    MqttClient device = client(version);
    const auto connected = device.connect({});
    ASSERT_EQ(connected.reason, ReasonCode::kSuccess);
    EXPECT_FALSE(connected.numbers.contains(mqtt::PropertyId::kMaximumQos));
    device.publish(5, kTelemetry, number("exactly", 1), Qos::kExactlyOnce);
    const MqttClient::Answer taken = device.answer();
    EXPECT_EQ(taken.type, PacketType::kPubrec);
    EXPECT_EQ(taken.packet_id, 5);
    if (version == Version::k5) {
      const auto batch = stored(taken.receipt);
      ASSERT_TRUE(batch.has_value()) << taken.receipt;
      EXPECT_EQ(batch->qos, 2);
    }
    device.publish(5, kTelemetry, number("exactly", 1), Qos::kExactlyOnce, true);
    EXPECT_EQ(device.answer().type, PacketType::kPubrec) << "[MQTT-4.3.3-10]";
    device.pubrel(5);
    const MqttClient::Answer done = device.answer();
    EXPECT_EQ(done.type, PacketType::kPubcomp);
    EXPECT_EQ(done.reason, ReasonCode::kSuccess);
    device.pubrel(6);
    const MqttClient::Answer unknown = device.answer();
    EXPECT_EQ(unknown.type, PacketType::kPubcomp);
    EXPECT_EQ(unknown.reason, version == Version::k5 ? ReasonCode::kPacketIdentifierNotFound : ReasonCode::kSuccess);
  }
  EXPECT_EQ(stored_metric("exactly").size(), 2U) << "one of each version";
}

// [MQTT-4.3.3-10], 3.1.1 [MQTT-4.3.3-2]
TEST_F(MqttTest, Qos2SentAgainOverTheNextConnectionIsStillOneRecord) {
  constexpr int kRounds = 20;
  for (int round = 0; round < kRounds; ++round) {
    const MqttClient::Login login{.client_id = "again", .clean = false, .expiry_s = 60};
    {
      // Cut before or after the delivery report, as it happens.
      MqttClient device = client(Version::k5);
      ASSERT_EQ(device.connect(login).reason, ReasonCode::kSuccess);
      device.publish(9, kTelemetry, number("once", round), Qos::kExactlyOnce);
      if (round % 3 == 0) static_cast<void>(device.answer());
    }
    MqttClient device = client(Version::k5);
    EXPECT_EQ(device.connect(login).session_present, true);
    device.publish(9, kTelemetry, number("once", round), Qos::kExactlyOnce, true);
    const MqttClient::Answer taken = device.answer();
    EXPECT_EQ(taken.type, PacketType::kPubrec);
    EXPECT_EQ(taken.reason, ReasonCode::kSuccess);
    device.pubrel(9);
    EXPECT_EQ(device.answer().type, PacketType::kPubcomp);
  }
  const auto batches = stored_metric("once");
  std::map<std::string, int> times;
  for (const telemetry::Batch& batch : batches) ++times[std::to_string(std::get<std::int64_t>(batch.points[0].value))];
  EXPECT_EQ(times.size(), static_cast<std::size_t>(kRounds));
  EXPECT_EQ(batches.size(), static_cast<std::size_t>(kRounds));
}

TEST_F(MqttTest, SessionsLastAsLongAsIsGranted) {
  for (const Version version : {Version::k311, Version::k5}) {
    const std::string name = version == Version::k5 ? "five" : "old";
    const auto connect = [&](bool clean) {
      MqttClient device = client(version);
      auto connected = device.connect({.client_id = name, .clean = clean, .expiry_s = 1'000'000});
      device.disconnect();
      EXPECT_TRUE(device.socket().at_end());
      return connected;
    };
    // 3.1.1 [MQTT-3.2.2-1], 3.1.1 [MQTT-3.2.2-2], 3.1.1 [MQTT-3.2.2-3]
    const auto first = connect(false);
    EXPECT_FALSE(first.session_present);
    if (version == Version::k5) {
      EXPECT_EQ(first.numbers.at(mqtt::PropertyId::kSessionExpiryInterval), 3600U) << "told what is granted";
    }
    EXPECT_TRUE(connect(false).session_present);
    EXPECT_FALSE(connect(true).session_present);
  }
}

TEST_F(MqttTest, ADeviceSubscribesToItsOwnErrorsAndCommandsOnly) {
  const std::vector<std::string> filters{
      "devices/m-1/errors", "devices/m-1/commands/#", "devices/m-2/errors", "#", "devices/m-1/telemetry", "bad#"};
  MqttClient five = client(Version::k5);
  const auto connected = five.connect({.client_id = "five"});
  EXPECT_FALSE(connected.numbers.contains(mqtt::PropertyId::kRetainAvailable));
  EXPECT_EQ(connected.numbers.at(mqtt::PropertyId::kSharedSubscriptionAvailable), 0U);
  EXPECT_EQ(five.subscribe(filters),
            (std::vector{ReasonCode::kGrantedQos1, ReasonCode::kGrantedQos1, ReasonCode::kNotAuthorized,
                         ReasonCode::kNotAuthorized, ReasonCode::kNotAuthorized, ReasonCode::kTopicFilterInvalid}));
  EXPECT_EQ(five.unsubscribe({"devices/m-1/errors", "devices/m-1/errors"}),
            (std::vector{ReasonCode::kSuccess, ReasonCode::kNoSubscriptionExisted}));
  MqttClient old = client(Version::k311);
  ASSERT_EQ(old.connect({.client_id = "old"}).reason, ReasonCode::kSuccess);
  const auto failure = ReasonCode::kUnspecifiedError;
  EXPECT_EQ(old.subscribe(filters),
            (std::vector{ReasonCode::kGrantedQos1, ReasonCode::kGrantedQos1, failure, failure, failure, failure}));
}

TEST_F(MqttTest, AWillIsAReadingOfItsDevice) {
  const mqtt::Will will{"devices/m-1/status", R"({"gone":1})", Qos::kAtLeastOnce, false, {}};
  {
    MqttClient leaving = client(Version::k5);
    ASSERT_EQ(leaving.connect({.client_id = "leaving", .will = will}).reason, ReasonCode::kSuccess);
    leaving.disconnect();
    EXPECT_TRUE(leaving.socket().at_end());
  }
  {
    MqttClient cut = client(Version::k311);
    ASSERT_EQ(cut.connect({.client_id = "cut", .will = will}).reason, ReasonCode::kSuccess);
  }
  ASSERT_TRUE(eventually([&] { return !stored_metric("status.gone").empty(); }));
  const auto batches = stored_metric("status.gone");
  ASSERT_EQ(batches.size(), 1U) << "[MQTT-3.14.4-3]: DISCONNECT takes the will away";
  EXPECT_EQ(batches[0].device_key, 7);
  EXPECT_EQ(batches[0].qos, 1);
  EXPECT_EQ(batches[0].delivery.client_id, "cut");
  EXPECT_EQ(batches[0].delivery.packet_id, 0);
}

TEST_F(MqttTest, AWillElsewhereIsRefused) {
  for (const Version version : {Version::k311, Version::k5}) {
    for (const char* topic : {"devices/m-2/status", "elsewhere"}) {
      MqttClient device = client(version);
      const mqtt::Will will{topic, "{}", Qos::kAtMostOnce, false, {}};
      EXPECT_EQ(device.connect({.will = will}).reason, ReasonCode::kNotAuthorized);
      EXPECT_TRUE(device.socket().at_end());
    }
  }
}

TEST_F(MqttTest, ADeviceThatIsDisabledIsClosedAndHasNoLastWord) {
  MqttClient device = client(Version::k5);
  const mqtt::Will will{"devices/m-2/status", R"({"lastword":1})", Qos::kAtLeastOnce, false, {}};
  ASSERT_EQ(device.connect({.user = "m-2@acme", .password = kSecondToken, .will = will}).reason, ReasonCode::kSuccess);
  kafka::SyncProducer producer(settings_, seconds(60));
  const std::vector<kafka::OutgoingRecord> records{
      {.topic = topics_.registry(), .key = "device/acme/m-2", .value = device_entry("m-2", 8, kSecondToken, 4, false)}};
  ASSERT_TRUE(producer.send(records).ok());
  const MqttClient::Answer told = device.answer();
  EXPECT_EQ(told.type, PacketType::kDisconnect);
  EXPECT_EQ(told.reason, ReasonCode::kNotAuthorized);
  EXPECT_TRUE(device.socket().at_end());
  EXPECT_EQ(post(number("after", 1)).status, 202);
  EXPECT_TRUE(stored_metric("status.lastword").empty());
}

TEST_F(MqttTest, NothingOfTheOpenListenerReachesKafka) {
  MqttClient anybody(app_->mqtt_open_address(), Version::k5);
  ASSERT_EQ(anybody.connect({.user = "who", .password = "ever"}).reason, ReasonCode::kSuccess);
  anybody.publish(1, kTelemetry, number("open", 1));
  const MqttClient::Answer answer = anybody.answer();
  EXPECT_EQ(answer.type, PacketType::kPuback);
  EXPECT_EQ(answer.reason, ReasonCode::kNoMatchingSubscribers);
  EXPECT_EQ(post(number("after", 1)).status, 202);
  EXPECT_TRUE(stored_metric("open").empty());
}

TEST_F(MqttTest, TheOpenListenerStaysOnThisMachineUnlessSaidOtherwise) {
  Config config = config_;
  config.mqtt_open = Address{"0.0.0.0", 0};
  ProtocolGatewayApp other(config);
  const Status started = other.start();
  ASSERT_FALSE(started.ok());
  EXPECT_EQ(started.error().kind, ErrorKind::kInvalid);
  EXPECT_NE(started.error().message.find("MQTT_OPEN_ADDR"), std::string::npos) << started.error().message;
}

}  // namespace
}  // namespace millrace::gateway
