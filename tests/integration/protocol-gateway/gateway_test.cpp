#include <millrace/mqtt/codec.hpp>

#include "gateway_fixture.hpp"

namespace millrace::gateway {
namespace {

class GatewayTest : public GatewayFixture {
 protected:
  /// An MQTT client that has sent CONNECT.
  void connect(RawSocket& client, mqtt::Version version, const std::string& password = kToken) {
    mqtt::Connect connect;
    connect.version = version;
    connect.client_id = "client-1";
    connect.user_name = "m-1@acme";
    connect.password = password;
    std::string bytes;
    mqtt::encode(connect, bytes);
    client.send(bytes);
  }
  void publish(RawSocket& client, mqtt::Version version, std::uint16_t id, std::string_view topic,
               std::string_view payload) {
    mqtt::Publish publish;
    publish.topic = topic;
    publish.payload = payload;
    publish.qos = mqtt::Qos::kAtLeastOnce;
    publish.packet_id = id;
    std::string bytes;
    mqtt::encode(version, publish, bytes);
    client.send(bytes);
  }
  /// The next packet's bytes; the frame points into them.
  struct Packet {
    std::string bytes;
    mqtt::Frame frame;
    bool ok = false;
  };
  static void next(RawSocket& client, Packet& packet) {
    packet.ok = false;
    for (;;) {
      mqtt::Frame frame;
      if (mqtt::next_frame(client.buffer(), 1 << 20, frame).status == mqtt::FrameStatus::kComplete) {
        packet.bytes = client.buffer().substr(0, frame.size);
        client.buffer().erase(0, frame.size);
        packet.ok = mqtt::next_frame(packet.bytes, 1 << 20, packet.frame).status == mqtt::FrameStatus::kComplete;
        return;
      }
      if (!client.fill()) return;
    }
  }
  mqtt::ReasonCode connack(RawSocket& client, mqtt::Version version) {
    Packet packet;
    next(client, packet);
    mqtt::Connack answer;
    if (!packet.ok || mqtt::decode(packet.frame, version, answer)) return mqtt::ReasonCode::kUnspecifiedError;
    return answer.reason;
  }
};

TEST_F(GatewayTest, HttpAnswersWithThePlaceInTheLog) {
  const RawAnswer answer = post(R"([{"power":1.5},{"power":2,"ts":1700000000}])", "Idempotency-Key: abc\r\n");
  ASSERT_EQ(answer.status, 202) << answer.body;
  const auto batch = stored(receipt_of(answer.body));
  ASSERT_TRUE(batch.has_value()) << answer.body;
  EXPECT_EQ(batch->device_key, 7);
  EXPECT_EQ(batch->protocol, telemetry::Protocol::kHttp);
  EXPECT_EQ(batch->delivery.message_id, "abc");
  EXPECT_EQ(batch->points.size(), 2U);
}

TEST_F(GatewayTest, HttpRefusesPrecisely) {
  EXPECT_EQ(post(R"({"a":1})", "", "mt_wrong").status, 401);
  EXPECT_EQ(post(R"({"a":1})", "Idempotency-Key: a\r\nIdempotency-Key: b\r\n").status, 400);
  RawSocket client(app_->http_address());
  client.send("GET /v1/telemetry HTTP/1.1\r\nHost: x\r\n\r\nGET /other HTTP/1.1\r\nHost: x\r\n\r\n");
  const RawAnswer method = client.answer();
  EXPECT_EQ(method.status, 405);
  EXPECT_TRUE(method.has("Allow: POST"));
  EXPECT_EQ(client.answer().status, 404);
}

TEST_F(GatewayTest, AnUndecodablePayloadIsKeptAndToldWithItsReceipt) {
  const RawAnswer answer = post(R"({"a":)");
  ASSERT_EQ(answer.status, 400) << answer.body;
  EXPECT_NE(answer.body.find("\"reason\":\"syntax\""), std::string::npos) << answer.body;
  EXPECT_TRUE(receipt_of(answer.body).starts_with("dead:")) << answer.body;
  const auto dead = testing::read_log(settings_, topics_.telemetry_dead(), 3);
  ASSERT_EQ(dead.size(), 1U);
  EXPECT_EQ(dead[0].value, R"({"a":)");
  EXPECT_EQ(dead[0].key, "acme/m-1");
  std::map<std::string, std::string> headers;
  for (const kafka::Header& header : dead[0].headers) headers[header.name] = header.value;
  EXPECT_EQ(headers["refused"], "true");
  EXPECT_EQ(headers["tenant"], "acme");
  EXPECT_EQ(headers["reason"], "syntax");
}

TEST_F(GatewayTest, Mqtt5PubackCarriesTheReceiptAndTheReason) {
  RawSocket client(app_->mqtt_address());
  connect(client, mqtt::Version::k5);
  ASSERT_EQ(connack(client, mqtt::Version::k5), mqtt::ReasonCode::kSuccess);
  publish(client, mqtt::Version::k5, 1, "devices/m-1/telemetry", R"({"power":3})");
  publish(client, mqtt::Version::k5, 2, "devices/m-1/status", R"({"battery":4})");
  publish(client, mqtt::Version::k5, 3, "devices/m-1/telemetry", "nonsense");
  publish(client, mqtt::Version::k5, 4, "devices/m-2/telemetry", R"({"power":3})");
  publish(client, mqtt::Version::k5, 5, "elsewhere", R"({"power":3})");
  const std::vector<mqtt::ReasonCode> expected{mqtt::ReasonCode::kSuccess, mqtt::ReasonCode::kSuccess,
                                               mqtt::ReasonCode::kPayloadFormatInvalid,
                                               mqtt::ReasonCode::kNotAuthorized, mqtt::ReasonCode::kTopicNameInvalid};
  std::vector<std::string> receipts;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    Packet packet;
    next(client, packet);
    ASSERT_TRUE(packet.ok);
    mqtt::Ack ack;
    ASSERT_FALSE(mqtt::decode(packet.frame, mqtt::Version::k5, ack));
    EXPECT_EQ(ack.packet_id, i + 1) << "PUBACKs keep the order of the PUBLISHes";
    EXPECT_EQ(ack.reason, expected[i]) << i;
    receipts.emplace_back(ack.properties.user("receipt").value_or(""));
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

TEST_F(GatewayTest, Mqtt311KeepsBadPayloadsAndClosesOnAForeignTopic) {
  RawSocket client(app_->mqtt_address());
  connect(client, mqtt::Version::k311);
  ASSERT_EQ(connack(client, mqtt::Version::k311), mqtt::ReasonCode::kSuccess);
  publish(client, mqtt::Version::k311, 9, "devices/m-1/telemetry", "nonsense");
  Packet packet;
  next(client, packet);
  ASSERT_TRUE(packet.ok);
  EXPECT_EQ(packet.frame.type, mqtt::PacketType::kPuback);
  EXPECT_EQ(testing::read_log(settings_, topics_.telemetry_dead(), 3).size(), 1U);
  publish(client, mqtt::Version::k311, 10, "devices/m-2/telemetry", R"({"power":3})");
  EXPECT_TRUE(client.at_end());
}

TEST_F(GatewayTest, MqttRefusesAWrongTokenInTheClientsVersion) {
  RawSocket five(app_->mqtt_address());
  connect(five, mqtt::Version::k5, "mt_wrong");
  EXPECT_EQ(connack(five, mqtt::Version::k5), mqtt::ReasonCode::kBadUserNameOrPassword);
  EXPECT_TRUE(five.at_end());
  RawSocket old(app_->mqtt_address());
  connect(old, mqtt::Version::k311, "mt_wrong");
  EXPECT_TRUE(mqtt::is_failure(connack(old, mqtt::Version::k311)));
  EXPECT_TRUE(old.at_end());
}

TEST_F(GatewayTest, AClientIdThatConnectsAgainTakesOverAndItsEpochGrows) {
  std::vector<std::uint64_t> epochs;
  RawSocket first(app_->mqtt_address());
  RawSocket second(app_->mqtt_address());
  for (RawSocket* client : {&first, &second}) {
    connect(*client, mqtt::Version::k311);
    ASSERT_EQ(connack(*client, mqtt::Version::k311), mqtt::ReasonCode::kSuccess);
    publish(*client, mqtt::Version::k311, 1, "devices/m-1/telemetry",
            R"({"takeover":)" + std::to_string(epochs.size()) + "}");
    Packet packet;
    next(*client, packet);
    ASSERT_TRUE(packet.ok);
    epochs.push_back(0);
  }
  EXPECT_TRUE(first.at_end());
  epochs.clear();
  for (const auto& entry : testing::read_log(settings_, topics_.telemetry(), kPartitions)) {
    telemetry::Batch batch;
    telemetry::BatchCodec codec;
    ASSERT_TRUE(codec.decode(entry.value, batch).ok());
    if (batch.points.at(0).metric == "takeover") epochs.push_back(batch.delivery.connection_epoch);
  }
  ASSERT_EQ(epochs.size(), 2U);
  EXPECT_GT(epochs[1], epochs[0]);
}

}  // namespace
}  // namespace millrace::gateway
