#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>

#include <millrace/base/digest.hpp>
#include <millrace/kafka/admin.hpp>
#include <millrace/kafka/sync_producer.hpp>
#include <millrace/mqtt/codec.hpp>

#include "eventually.hpp"
#include "kafka_log.hpp"
#include "millrace/registry/v1/entry.pb.h"
#include "protocol_gateway_app.hpp"
#include "raw_http.hpp"

namespace millrace::gateway {
namespace {

using millrace::testing::eventually;
using millrace::testing::RawAnswer;
using millrace::testing::RawSocket;
using std::chrono::seconds;

constexpr int kPartitions = 4;
constexpr const char* kToken = "mt_integration";

/// The whole gateway against a real broker, with topics and a state folder of its own.
class GatewayTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* bootstrap = std::getenv("MILLRACE_TEST_KAFKA");
    if (bootstrap == nullptr) {
      ASSERT_EQ(std::getenv("MILLRACE_TEST_REQUIRE"), nullptr) << "MILLRACE_TEST_KAFKA is not set";
      GTEST_SKIP() << "MILLRACE_TEST_KAFKA is not set";
    }
    settings_ = {bootstrap, "gateway-test"};
    topics_.prefix = "gw-" + random_token(6) + ".";
    kafka::Admin admin(settings_);
    const auto created = admin.create_missing(kafka::wanted_topics(topics_, {kPartitions, 1}), seconds(60));
    ASSERT_TRUE(created.ok()) << created.error().message;
    register_device();
    std::string name = (std::filesystem::temp_directory_path() / "millrace-gateway-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    Config config;
    config.mqtt = config.http = config.ops = {"127.0.0.1", 0};
    config.kafka = settings_;
    config.topic_prefix = topics_.prefix;
    config.state_dir = folder_;
    config.io_threads = 2;
    config.linger_ms = 0.5;
    config.max_in_flight_bytes = 64 << 20;
    config.stall_after = seconds(30);
    config.answer_deadline = seconds(60);
    config.max_metric_names = 1000;
    config.max_connections = 100;
    config.max_packet_bytes = 64 * 1024;
    config.receive_maximum = 100;
    app_ = std::make_unique<ProtocolGatewayApp>(config);
    const Status started = app_->start();
    ASSERT_TRUE(started.ok()) << started.error().message;
    ASSERT_TRUE(eventually([&] { return post(R"({"ready":1})").status == 202; }));
  }
  void TearDown() override {
    if (app_) {
      for (const runtime::Phase& phase : app_->stop_phases()) {
        const Status status = phase.run(std::chrono::steady_clock::now() + seconds(60));
        EXPECT_TRUE(status.ok()) << phase.name << ": " << (status.ok() ? "" : status.error().message);
      }
      app_.reset();
    }
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }

  void register_device() {
    registry::v1::Entry tenant;
    tenant.mutable_tenant()->set_tenant("acme");
    tenant.mutable_tenant()->set_tenant_key(1);
    tenant.mutable_tenant()->set_enabled(true);
    tenant.set_revision(1);
    registry::v1::Entry device;
    device.mutable_device()->set_tenant("acme");
    device.mutable_device()->set_device("m-1");
    device.mutable_device()->set_device_key(7);
    device.mutable_device()->set_enabled(true);
    device.mutable_device()->add_token_sha256(std::string(bytes_of(sha256(kToken))));
    device.set_revision(2);
    kafka::SyncProducer producer(settings_, seconds(60));
    const std::vector<kafka::OutgoingRecord> records{
        {.topic = topics_.registry(), .key = "tenant/acme", .value = tenant.SerializeAsString()},
        {.topic = topics_.registry(), .key = "device/acme/m-1", .value = device.SerializeAsString()}};
    const auto sent = producer.send(records);
    ASSERT_TRUE(sent.ok()) << sent.error().message;
  }

  RawAnswer post(const std::string& body, const std::string& fields = "", const std::string& token = kToken) {
    RawSocket client(app_->http_address());
    client.send("POST /v1/telemetry HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token +
                "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + fields + "\r\n" + body);
    return client.answer();
  }
  static std::string receipt_of(const std::string& body) {
    const std::size_t begin = body.find("\"receipt\":\"");
    if (begin == std::string::npos) return {};
    return body.substr(begin + 11, body.find('"', begin + 11) - begin - 11);
  }
  std::optional<telemetry::Batch> stored(const std::string& receipt_text) {
    const auto receipt = telemetry::parse_receipt(receipt_text);
    if (!receipt.ok()) return std::nullopt;
    for (const auto& entry : testing::read_log(settings_, topics_.telemetry(), kPartitions)) {
      telemetry::Batch batch;
      telemetry::BatchCodec codec;
      if (entry.partition == receipt->partition && entry.offset == receipt->offset &&
          codec.decode(entry.value, batch).ok())
        return batch;
    }
    return std::nullopt;
  }

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

  kafka::Settings settings_;
  kafka::TopicNames topics_;
  std::string folder_;
  std::unique_ptr<ProtocolGatewayApp> app_;
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
