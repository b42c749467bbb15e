#include "ingest/kafka_publisher.hpp"

#include <atomic>
#include <map>
#include <mutex>
#include <set>

#include <gtest/gtest.h>

#include <millrace/base/ids.hpp>

#include "eventually.hpp"
#include "kafka_log.hpp"
#include "mock_kafka.hpp"

namespace millrace::gateway {
namespace {

using millrace::testing::eventually;
using millrace::testing::MockKafka;
using std::chrono::milliseconds;

constexpr int kPartitions = 3;

class PublisherTest : public ::testing::Test {
 protected:
  PublisherTest() {
    kafka_.create_topic("t", kPartitions);
    kafka_.create_topic("progress", 1);
    generations_.start();
  }

  void start(PublisherOptions options = {}) {
    options.kafka.bootstrap = kafka_.bootstrap();
    options.kafka.client_id = "test";
    options.topic = "t";
    publisher_ = std::make_unique<KafkaPublisher>(options, gateway_metrics_, generations_,
                                                  [this](std::vector<Settlement> settlements) {
                                                    const std::lock_guard lock(mutex_);
                                                    for (Settlement& settlement : settlements)
                                                      outcomes_[settlement.waiter.token].push_back(settlement.outcome);
                                                  });
    publisher_->on_accepting([this] { ++times_accepting_; });
    publisher_->start();
    ASSERT_TRUE(eventually([&] { return publisher_->accepting(); }));
  }

  Status submit(int device, std::uint64_t token) {
    const std::string name = "d" + std::to_string(device);
    auto identity = std::make_shared<Identity>();
    identity->device = {"acme", name, device + 1, true};
    identity->key = record_key("acme", name);
    telemetry::Batch batch;
    batch.tenant = "acme";
    batch.device = name;
    batch.ingest_id.start = publisher_->start_id();
    batch.points.push_back({"token", telemetry::Value(static_cast<std::int64_t>(token)), {}});
    auto record = std::make_unique<InFlight>();
    codec_.encode(batch, record->value);
    record->identity = std::move(identity);
    record->waiter.token = token;
    record->protocol = telemetry::Protocol::kHttp;
    record->ingest_time = now_us();
    record->taken = std::chrono::steady_clock::now();
    return publisher_->submit(std::move(record));
  }

  std::size_t settled() {
    const std::lock_guard lock(mutex_);
    return outcomes_.size();
  }
  Outcome outcome(std::uint64_t token) {
    const std::lock_guard lock(mutex_);
    return outcomes_.at(token).front();
  }
  bool all_once(Outcome::Kind kind) {
    const std::lock_guard lock(mutex_);
    return std::all_of(outcomes_.begin(), outcomes_.end(),
                       [&](const auto& entry) { return entry.second.size() == 1 && entry.second[0].kind == kind; });
  }

  MockKafka kafka_;
  observability::Metrics metrics_;
  GatewayMetrics gateway_metrics_{metrics_};
  telemetry_log::LogGenerations generations_{{kafka_.bootstrap(), "test"}, "progress", "t"};
  telemetry::BatchCodec codec_;
  std::mutex mutex_;
  std::map<std::uint64_t, std::vector<Outcome>> outcomes_;
  std::atomic<int> times_accepting_{0};
  std::unique_ptr<KafkaPublisher> publisher_;
};

TEST_F(PublisherTest, TheReceiptIsTheRecordsPlaceInTheLog) {
  start();
  for (std::uint64_t token = 0; token < 100; ++token) ASSERT_TRUE(submit(static_cast<int>(token % 10), token).ok());
  ASSERT_TRUE(eventually([&] { return settled() == 100; }));
  EXPECT_TRUE(all_once(Outcome::Kind::kAcknowledged));
  EXPECT_EQ(publisher_->in_flight_bytes(), 0U);
  for (const auto& entry : testing::read_log({kafka_.bootstrap(), "test"}, "t", kPartitions)) {
    telemetry::Batch batch;
    ASSERT_TRUE(codec_.decode(entry.value, batch).ok());
    const auto token = static_cast<std::uint64_t>(std::get<std::int64_t>(batch.points.at(0).value));
    EXPECT_EQ(outcome(token).receipt, (telemetry::Receipt{entry.partition, entry.offset, 0, false}));
    EXPECT_EQ(entry.partition, partition_of(entry.key, kPartitions));
  }
}

TEST_F(PublisherTest, FatalErrorsUnderLoadLoseNothingAndKeepTheOrder) {
  PublisherOptions options;
  // A broker that refuses a batch refuses those behind it by their sequence numbers; the mock appends them.
  options.kafka.properties.emplace_back("max.in.flight.requests.per.connection", "1");
  start(options);
  constexpr std::uint64_t kRecords = 12'000;
  constexpr int kDevices = 20;
  for (std::uint64_t token = 0; token < kRecords; ++token) {
    if (token % 3000 == 1500) kafka_.push_errors(MockKafka::kProduce, {RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER});
    ASSERT_TRUE(submit(static_cast<int>(token % kDevices), token).ok());
    if (token % 100 == 0) std::this_thread::sleep_for(milliseconds(2));  // spreads the load over the restarts
  }
  ASSERT_TRUE(eventually([&] { return settled() == kRecords; }));
  EXPECT_TRUE(all_once(Outcome::Kind::kAcknowledged));
  EXPECT_EQ(metrics_.expose().find("millrace_gateway_producer_restarts_total 0"), std::string::npos);

  std::map<std::int32_t, std::set<std::uint64_t>> counters;
  std::map<std::string, std::uint64_t> last_of_device;
  std::set<std::uint64_t> tokens;
  for (const auto& entry : testing::read_log({kafka_.bootstrap(), "test"}, "t", kPartitions)) {
    telemetry::Batch batch;
    ASSERT_TRUE(codec_.decode(entry.value, batch).ok());
    std::set<std::uint64_t>& seen = counters[entry.partition];
    if (!seen.insert(batch.ingest_id.counter).second) continue;  // produced again: the copy rules drop it
    ASSERT_EQ(*seen.rbegin(), batch.ingest_id.counter) << "an older record behind a newer one";
    const auto token = static_cast<std::uint64_t>(std::get<std::int64_t>(batch.points.at(0).value));
    const auto last = last_of_device.find(entry.key);
    if (last != last_of_device.end()) {
      ASSERT_GT(token, last->second) << entry.key;
    }
    last_of_device[entry.key] = token;
    tokens.insert(token);
  }
  EXPECT_EQ(tokens.size(), kRecords);
  for (const auto& [partition, seen] : counters)
    EXPECT_EQ(*seen.rbegin(), seen.size()) << "a hole in partition " << partition;
}

TEST_F(PublisherTest, StopsTakingWhenReportsDoNotComeAndGoesOnByItself) {
  PublisherOptions options;
  options.stall_after = milliseconds(200);
  start(options);
  kafka_.broker_down();
  ASSERT_TRUE(submit(1, 1).ok());
  ASSERT_TRUE(eventually([&] { return !publisher_->accepting(); }));
  EXPECT_FALSE(publisher_->kafka_check().ok);
  EXPECT_EQ(settled(), 0U);
  kafka_.broker_up();
  ASSERT_TRUE(eventually([&] { return publisher_->accepting(); }));
  ASSERT_TRUE(eventually([&] { return settled() == 1; }));
  EXPECT_TRUE(all_once(Outcome::Kind::kAcknowledged));
  EXPECT_GE(times_accepting_.load(), 2);
}

TEST_F(PublisherTest, StopsTakingAtTheMemoryLimit) {
  PublisherOptions options;
  options.max_in_flight_bytes = 20'000;
  options.stall_after = std::chrono::minutes(10);
  start(options);
  kafka_.broker_down();
  std::uint64_t token = 0;
  while (publisher_->accepting() && token < 1000) ASSERT_TRUE(submit(1, token++).ok());
  EXPECT_FALSE(publisher_->accepting());
  EXPECT_GE(publisher_->in_flight_bytes(), 20'000U);
  EXPECT_LT(publisher_->in_flight_bytes(), 22'000U);
  kafka_.broker_up();
  ASSERT_TRUE(eventually([&] { return settled() == token && publisher_->accepting(); }));
  EXPECT_EQ(publisher_->in_flight_bytes(), 0U);
}

TEST_F(PublisherTest, ARecordThatKafkaTurnsDownIsRefusedAndTheNextOneGoesThrough) {
  start();
  kafka_.push_errors(MockKafka::kProduce, {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE});
  ASSERT_TRUE(submit(1, 1).ok());
  ASSERT_TRUE(eventually([&] { return settled() == 1; }));
  EXPECT_EQ(outcome(1).kind, Outcome::Kind::kRefused);
  EXPECT_EQ(outcome(1).error.kind, ErrorKind::kTooLarge);
  ASSERT_TRUE(submit(1, 2).ok());
  ASSERT_TRUE(eventually([&] { return settled() == 2; }));
  EXPECT_EQ(outcome(2).kind, Outcome::Kind::kAcknowledged);
  EXPECT_EQ(publisher_->in_flight_bytes(), 0U);
}

TEST_F(PublisherTest, WhatHasNoReportAtTheEndIsUnknown) {
  start();
  kafka_.broker_down();
  for (std::uint64_t token = 0; token < 3; ++token) ASSERT_TRUE(submit(1, token).ok());
  const Status drained = publisher_->drain(std::chrono::steady_clock::now() + milliseconds(50));
  ASSERT_FALSE(drained.ok());
  EXPECT_EQ(drained.error().kind, ErrorKind::kUnknownOutcome);
  publisher_->stop();
  EXPECT_EQ(settled(), 3U);
  EXPECT_TRUE(all_once(Outcome::Kind::kUnknown));
}

TEST(Publisher, TakesNothingBeforeKafkaIsThere) {
  MockKafka kafka;
  kafka.broker_down();
  observability::Metrics metrics;
  GatewayMetrics gateway_metrics(metrics);
  PublisherOptions options;
  options.kafka = {kafka.bootstrap(), "test"};
  options.topic = "t";
  options.metadata_timeout = milliseconds(100);
  telemetry_log::LogGenerations generations({kafka.bootstrap(), "test"}, "progress", "t");
  generations.start();
  KafkaPublisher publisher(options, gateway_metrics, generations, [](std::vector<Settlement>) {});
  publisher.start();
  EXPECT_FALSE(publisher.accepting());
  const Status status = publisher.submit(std::make_unique<InFlight>());
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().kind, ErrorKind::kUnavailable);
  kafka.create_topic("t", 1);
  kafka.create_topic("progress", 1);
  kafka.broker_up();
  EXPECT_TRUE(eventually([&] { return publisher.accepting(); }));
}

}  // namespace
}  // namespace millrace::gateway
