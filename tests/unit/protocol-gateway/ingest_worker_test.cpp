#include "ingest/ingest_worker.hpp"

#include <vector>

#include <gtest/gtest.h>

#include <millrace/telemetry/message_schema.hpp>

#include "descriptor_set.hpp"
#include "fakes.hpp"

namespace millrace::gateway {
namespace {

class IngestWorkerTest : public ::testing::Test {
 protected:
  IngestWorkerTest() {
    auto identity = std::make_shared<Identity>();
    identity->device = {"acme", "m-1", 42, true};
    identity->key = "acme/m-1";
    identity_ = identity;
  }
  Message message(std::string_view payload) {
    Message message;
    message.identity = identity_;
    message.protocol = telemetry::Protocol::kMqtt5;
    message.qos = 1;
    message.topic = "devices/m-1/telemetry";
    message.payload = payload;
    return message;
  }
  telemetry::Batch decoded(std::size_t index) {
    telemetry::Batch batch;
    telemetry::BatchCodec codec;
    EXPECT_TRUE(codec.decode(publisher_.records.at(index)->value, batch).ok());
    return batch;
  }

  FakePublisher publisher_;
  FakeRefused refused_;
  MetricNames names_{2};
  observability::Metrics registry_;
  GatewayMetrics metrics_{registry_};
  FakeLimits limits_;
  Limiter limiter_{limits_, metrics_};
  FakeTypes types_;
  IngestWorker worker_{publisher_, refused_, names_, limiter_, types_};
  std::shared_ptr<const Identity> identity_;
};

TEST_F(IngestWorkerTest, ARecordCarriesWhatTheMessageSaid) {
  Message said = message(R"({"ts":"2026-01-02T03:04:05Z","values":{"power":1.5}})");
  said.facts.message_id = "id-1";
  said.facts.client_id = "client";
  said.facts.connection_epoch = 7;
  said.facts.packet_id = 9;
  said.facts.dup = true;
  said.traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  ASSERT_TRUE(worker_.submit(said, {nullptr, 5}).ok());
  ASSERT_EQ(publisher_.records.size(), 1U);
  EXPECT_EQ(publisher_.records[0]->waiter.token, 5U);
  const telemetry::Batch batch = decoded(0);
  EXPECT_EQ(batch.tenant, "acme");
  EXPECT_EQ(batch.device, "m-1");
  EXPECT_EQ(batch.device_key, 42);
  EXPECT_EQ(batch.ingest_id.start, publisher_.start_id());
  EXPECT_EQ(batch.delivery.message_id, "id-1");
  EXPECT_EQ(batch.delivery.client_id, "client");
  EXPECT_EQ(batch.delivery.connection_epoch, 7U);
  EXPECT_EQ(batch.delivery.packet_id, 9);
  EXPECT_TRUE(batch.delivery.dup);
  EXPECT_EQ(batch.traceparent, said.traceparent);
  ASSERT_EQ(batch.points.size(), 1U);
  EXPECT_EQ(batch.points[0].metric, "power");
  EXPECT_EQ(batch.points[0].value, telemetry::Value(1.5));
  EXPECT_EQ(telemetry::device_time(batch, batch.points[0]), parse_rfc3339("2026-01-02T03:04:05Z").value());
}

TEST_F(IngestWorkerTest, OnlyAnAnswerCanWaitForTheDatabase) {
  class Sink final : public AckSink {
   public:
    [[nodiscard]] std::size_t io_index() const override { return 0; }
    void settle(std::uint64_t /*token*/, const Outcome& /*outcome*/) override {}
    void flush() override {}
  };
  Message said = message(R"({"a":1})");
  said.until_stored = true;
  ASSERT_TRUE(worker_.submit(said, {std::make_shared<Sink>(), 1}).ok());
  EXPECT_TRUE(publisher_.records[0]->until_stored);
  EXPECT_TRUE(decoded(0).answer_when_stored);
  ASSERT_TRUE(worker_.submit(said, {}).ok());
  EXPECT_FALSE(publisher_.records[1]->until_stored) << "QoS 0";
  EXPECT_FALSE(decoded(1).answer_when_stored) << "the writer publishes nothing for it";
  said.until_stored = false;
  ASSERT_TRUE(worker_.submit(said, {std::make_shared<Sink>(), 1}).ok());
  EXPECT_FALSE(decoded(2).answer_when_stored);
}

TEST_F(IngestWorkerTest, TheHashTellsTopicAndPayloadApart) {
  Message other_topic = message(R"({"a":1})");
  other_topic.topic = "devices/m-1/status";
  ASSERT_TRUE(worker_.submit(message(R"({"a":1})"), {}).ok());
  ASSERT_TRUE(worker_.submit(message(R"({"a":1})"), {}).ok());
  ASSERT_TRUE(worker_.submit(message(R"({"a":2})"), {}).ok());
  ASSERT_TRUE(worker_.submit(other_topic, {}).ok());
  EXPECT_EQ(decoded(0).delivery.payload_hash, decoded(1).delivery.payload_hash);
  EXPECT_NE(decoded(0).delivery.payload_hash, decoded(2).delivery.payload_hash);
  EXPECT_NE(decoded(0).delivery.payload_hash, decoded(3).delivery.payload_hash);
}

TEST_F(IngestWorkerTest, TheStatusTopicPrefixesMetricNames) {
  Message status = message(R"({"battery":3})");
  status.metric_prefix = "status.";
  ASSERT_TRUE(worker_.submit(status, {}).ok());
  EXPECT_EQ(decoded(0).points.at(0).metric, "status.battery");
}

TEST_F(IngestWorkerTest, AnUndecodablePayloadIsKeptAndNotPublished) {
  ASSERT_TRUE(worker_.submit(message(R"({"a":)"), {nullptr, 8}).ok());
  EXPECT_TRUE(publisher_.records.empty());
  ASSERT_EQ(refused_.kept.size(), 1U);
  EXPECT_EQ(refused_.kept[0].payload, R"({"a":)");
  EXPECT_EQ(refused_.kept[0].error->fault, telemetry::PayloadFault::kSyntax);
  EXPECT_EQ(refused_.kept[0].waiter.token, 8U);
  ASSERT_TRUE(worker_.submit(message(R"({"a":1})"), {}).ok());
  EXPECT_EQ(decoded(0).points.size(), 1U);
}

TEST_F(IngestWorkerTest, TheFormatIsWhatTheMessageSaysElseWhatItsTopicSays) {
  Message said = message("21.5");
  said.metric = "pump/rpm";
  said.format = telemetry::PayloadFormat::kText;
  ASSERT_TRUE(worker_.submit(said, {}).ok());
  EXPECT_EQ(decoded(0).points, (std::vector<telemetry::Point>{{"pump.rpm", 21.5, {}}}));
  said.payload = R"([{"n":"x","t":-5,"v":1}])";
  said.content_type = "application/senml+json";
  ASSERT_TRUE(worker_.submit(said, {}).ok());
  const telemetry::Batch batch = decoded(1);
  EXPECT_EQ(batch.points.at(0).metric, "pump.rpm.x");
  EXPECT_EQ(batch.points.at(0).time, batch.ingest_time - 5 * kUsPerSecond) << "from the time of ingest on";
  EXPECT_TRUE(refused_.kept.empty());
}

TEST_F(IngestWorkerTest, TheTypeOfTheDeviceStandsBetweenTheMessageAndItsTopic) {
  types_.set({"meter", telemetry::PayloadFormat::kJson, nullptr});
  Message said = message(R"({"rpm":1})");
  said.metric = "pump";
  said.format = telemetry::PayloadFormat::kText;
  ASSERT_TRUE(worker_.submit(said, {}).ok());
  EXPECT_EQ(decoded(0).points.at(0).metric, "pump.rpm");
  said.content_type = "text/plain";
  said.payload = "7";
  ASSERT_TRUE(worker_.submit(said, {}).ok());
  EXPECT_EQ(decoded(1).points, (std::vector<telemetry::Point>{{"pump", std::int64_t{7}, {}}}));
  EXPECT_EQ(types_.asked, 1) << "once, as long as nothing changes";
  types_.set({"meter", telemetry::PayloadFormat::kCbor, nullptr});
  ASSERT_TRUE(worker_.submit(message("\xa1\x64pump\x05"), {}).ok());
  EXPECT_EQ(decoded(2).points, (std::vector<telemetry::Point>{{"pump", std::int64_t{5}, {}}}));
  EXPECT_EQ(types_.asked, 2);
  EXPECT_TRUE(refused_.kept.empty());
}

TEST_F(IngestWorkerTest, JsonThatIsSaidStaysJsonWhereTheHashLeavesItOut) {
  types_.set({"meter", telemetry::PayloadFormat::kCbor, nullptr});
  Message said = message(R"({"a":1})");
  said.said = telemetry::PayloadFormat::kJson;
  ASSERT_TRUE(worker_.submit(said, {}).ok());
  ASSERT_EQ(publisher_.records.size(), 1U);
  EXPECT_EQ(decoded(0).points.at(0).metric, "a");
}

TEST_F(IngestWorkerTest, ProtocolBuffersAreThoseOfTheType) {
  const test::DescriptorSet set("syntax = \"proto3\"; message R { optional double power = 1; }");
  types_.set({"meter", telemetry::PayloadFormat::kJson, *telemetry::MessageSchema::build(set.bytes(), "R")});
  const std::string payload = set.encode("R", "power: 0");
  Message said = message(payload);
  said.content_type = "application/protobuf";
  ASSERT_TRUE(worker_.submit(said, {}).ok());
  ASSERT_EQ(publisher_.records.size(), 1U);
  EXPECT_EQ(decoded(0).points, (std::vector<telemetry::Point>{{"power", 0.0, {}}}));
}

TEST_F(IngestWorkerTest, ADescriptorThatCannotBeUsedRefusesProtocolBuffersOnly) {
  types_.set({"meter", telemetry::PayloadFormat::kProtobuf, nullptr, "'R' is odd"});
  ASSERT_TRUE(worker_.submit(message("x"), {}).ok());
  ASSERT_EQ(refused_.kept.size(), 1U);
  EXPECT_EQ(refused_.kept[0].error->fault, telemetry::PayloadFault::kUnsupported);
  EXPECT_EQ(refused_.kept[0].error->message,
            "the descriptor of device type 'meter' cannot be used by this gateway: 'R' is odd");
  Message said = message(R"({"a":1})");
  said.content_type = "application/json";
  ASSERT_TRUE(worker_.submit(said, {}).ok());
  EXPECT_EQ(publisher_.records.size(), 1U);
}

TEST_F(IngestWorkerTest, AContentTypeThatIsNotKnownIsRefusedAndNamed) {
  Message said = message("<a/>");
  said.content_type = "text/\x01xml";
  ASSERT_TRUE(worker_.submit(said, {nullptr, 8}).ok());
  ASSERT_EQ(refused_.kept.size(), 1U);
  EXPECT_EQ(refused_.kept[0].error->fault, telemetry::PayloadFault::kUnknownFormat);
  EXPECT_NE(refused_.kept[0].error->message.find("'text/?xml'"), std::string::npos);
}

TEST_F(IngestWorkerTest, ATenantHasRoomForSoManyMetricNames) {
  ASSERT_TRUE(worker_.submit(message(R"({"a":1,"b":2})"), {}).ok());
  ASSERT_TRUE(worker_.submit(message(R"({"c":1})"), {}).ok());
  ASSERT_TRUE(worker_.submit(message(R"({"b":1})"), {}).ok());
  EXPECT_EQ(publisher_.records.size(), 2U);
  ASSERT_EQ(refused_.kept.size(), 1U);
  EXPECT_EQ(refused_.kept[0].error->fault, telemetry::PayloadFault::kTooManyMetrics);
}

TEST_F(IngestWorkerTest, WhatThePublisherTurnsDownComesBackAtOnce) {
  publisher_.fails = true;
  const Submitted status = worker_.submit(message(R"({"a":1})"), {});
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().kind, ErrorKind::kUnavailable);
  EXPECT_TRUE(refused_.kept.empty());
}

TEST_F(IngestWorkerTest, WhatIsOverALimitIsNeitherDecodedNorKept) {
  limits_.set({.messages = {{0.01, 1}}});
  ASSERT_TRUE(worker_.submit(message(R"({"a":1})"), {}).ok());
  const Submitted refused = worker_.submit(message("no JSON"), {});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::kThrottled);
  ASSERT_TRUE(refused.over_limit().has_value());
  EXPECT_EQ(refused.over_limit()->limit, LimitKind::kMessages);
  EXPECT_EQ(publisher_.records.size(), 1U);
  EXPECT_TRUE(refused_.kept.empty());
}

TEST_F(IngestWorkerTest, PointsOverALimitGiveBackTheirMessage) {
  limits_.set({.messages = {{0.01, 2}}, .points = {{0.01, 3}}});
  ASSERT_TRUE(worker_.submit(message(R"({"a":1,"b":2})"), {}).ok());
  const Submitted refused = worker_.submit(message(R"({"a":1,"b":2})"), {});
  ASSERT_TRUE(refused.over_limit().has_value());
  EXPECT_EQ(refused.over_limit()->limit, LimitKind::kPoints);
  EXPECT_TRUE(worker_.submit(message(R"({"a":1})"), {}).ok());
}

}  // namespace
}  // namespace millrace::gateway
