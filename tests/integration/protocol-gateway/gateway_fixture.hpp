#pragma once

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <millrace/base/digest.hpp>
#include <millrace/kafka/admin.hpp>
#include <millrace/kafka/sync_producer.hpp>

#include "eventually.hpp"
#include "kafka_log.hpp"
#include "millrace/registry/v1/entry.pb.h"
#include "protocol_gateway_app.hpp"
#include "raw_http.hpp"

namespace millrace::gateway {

using millrace::testing::eventually;
using millrace::testing::RawAnswer;
using millrace::testing::RawSocket;
using std::chrono::seconds;

inline constexpr int kPartitions = 4;
inline constexpr const char* kToken = "mt_integration";
inline constexpr const char* kSecondToken = "mt_second";  // of the device m-2

/// The whole gateway against a real broker, with topics and a state folder of its own.
class GatewayFixture : public ::testing::Test {
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
    register_devices();
    std::string name = (std::filesystem::temp_directory_path() / "millrace-gateway-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    Config config;
    config.mqtt = config.http = config.ops = {"127.0.0.1", 0};
    config.mqtt_open = Address{"127.0.0.1", 0};
    config.coap.plain = config.coap.secure = Address{"127.0.0.1", 0};
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
    config.max_strangers_per_address = 100;
    config.max_packet_bytes = 64 * 1024;
    config.receive_maximum = 100;
    config.max_session_expiry_s = 3600;
    config.max_sessions = 1000;
    config.max_sessions_per_device = 100;
    config.mqtt_memory_bytes = 256 << 20;
    adjust(config);
    config_ = config;
    app_ = std::make_unique<ProtocolGatewayApp>(config);
    const Status started = app_->start();
    ASSERT_TRUE(started.ok()) << started.error().message;
    ASSERT_TRUE(eventually([&] { return post(R"({"ready":1})").status == 202; }));
    // Connections of MQTT need more than that: presence and sessions.
    ASSERT_TRUE(eventually([&] { return app_->ready(); }));
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

  /// What a test wants otherwise.
  virtual void adjust(Config& /*config*/) {}

  void register_devices() {
    registry::v1::Entry tenant;
    tenant.mutable_tenant()->set_tenant("acme");
    tenant.mutable_tenant()->set_tenant_key(1);
    tenant.mutable_tenant()->set_enabled(true);
    tenant.set_revision(1);
    kafka::SyncProducer producer(settings_, seconds(60));
    const std::vector<kafka::OutgoingRecord> records{
        {.topic = topics_.registry(), .key = "tenant/acme", .value = tenant.SerializeAsString()},
        {.topic = topics_.registry(), .key = "device/acme/m-1", .value = device_entry("m-1", 7, kToken, 2)},
        {.topic = topics_.registry(), .key = "device/acme/m-2", .value = device_entry("m-2", 8, kSecondToken, 3)}};
    const auto sent = producer.send(records);
    ASSERT_TRUE(sent.ok()) << sent.error().message;
  }
  static std::string device_entry(const std::string& name, int key, const char* token, int revision,
                                  bool enabled = true) {
    registry::v1::Entry device;
    device.mutable_device()->set_tenant("acme");
    device.mutable_device()->set_device(name);
    device.mutable_device()->set_device_key(key);
    device.mutable_device()->set_enabled(enabled);
    device.mutable_device()->add_token_sha256(std::string(bytes_of(sha256(token))));
    device.set_revision(revision);
    return device.SerializeAsString();
  }

  /// Writes one entry of the registry; the gateway hears of it a moment later.
  void put_registry(const std::string& key, const registry::v1::Entry& entry) {
    kafka::SyncProducer producer(settings_, seconds(60));
    const std::vector<kafka::OutgoingRecord> records{
        {.topic = topics_.registry(), .key = key, .value = entry.SerializeAsString()}};
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
  /// What is in the log with this metric, in the order of its partitions.
  std::vector<telemetry::Batch> stored_metric(const std::string& metric) {
    std::vector<telemetry::Batch> found;
    telemetry::BatchCodec codec;
    for (const auto& entry : testing::read_log(settings_, topics_.telemetry(), kPartitions)) {
      telemetry::Batch batch;
      if (codec.decode(entry.value, batch).ok() && batch.points.at(0).metric == metric)
        found.push_back(std::move(batch));
    }
    return found;
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

  Config config_;
  kafka::Settings settings_;
  kafka::TopicNames topics_;
  std::string folder_;
  std::unique_ptr<ProtocolGatewayApp> app_;
};

}  // namespace millrace::gateway
