#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <millrace/kafka/producer.hpp>
#include <millrace/kafka/sync_producer.hpp>

#include "eventually.hpp"
#include "kafka_log.hpp"
#include "mock_kafka.hpp"

namespace millrace::kafka {
namespace {

using millrace::testing::eventually;
using millrace::testing::MockKafka;
using millrace::testing::read_log;
using std::chrono::milliseconds;
using std::chrono::seconds;

class ProducerTest : public ::testing::Test {
 protected:
  ProducerTest() { kafka_.create_topic("t", 3); }

  std::unique_ptr<Producer> make(ProducerOptions options = {.topic = "t"}) {
    return std::make_unique<Producer>(
        settings(), options,
        [this](std::span<const DeliveryReport> reports) {
          const std::lock_guard lock(mutex_);
          reports_.insert(reports_.end(), reports.begin(), reports.end());
        },
        [this](std::string_view reason) {
          const std::lock_guard lock(mutex_);
          fatal_.assign(reason);
          ++fatal_calls_;
        });
  }
  Settings settings() { return {kafka_.bootstrap(), "test"}; }
  std::vector<DeliveryReport> reports() {
    const std::lock_guard lock(mutex_);
    return reports_;
  }
  int fatal_calls() {
    const std::lock_guard lock(mutex_);
    return fatal_calls_;
  }

  MockKafka kafka_;
  std::mutex mutex_;
  std::vector<DeliveryReport> reports_;
  std::string fatal_;
  int fatal_calls_ = 0;
};

TEST_F(ProducerTest, ReportsPartitionOffsetAndOpaqueInProduceOrder) {
  auto producer = make();
  const auto partitions = producer->warm(seconds(60));
  ASSERT_TRUE(partitions.ok()) << partitions.error().message;
  EXPECT_EQ(*partitions, 3);
  std::vector<std::string> values;
  for (int i = 0; i < 500; ++i) values.push_back("value " + std::to_string(i));
  for (std::string& value : values) ASSERT_TRUE(producer->produce(1, "key", value, &value).ok());
  EXPECT_EQ(producer->flush(seconds(90)), 0U);
  const auto all = reports();
  ASSERT_EQ(all.size(), values.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].delivery, Delivery::kPersisted);
    EXPECT_EQ(all[i].partition, 1);
    EXPECT_EQ(all[i].offset, static_cast<std::int64_t>(i));
    EXPECT_EQ(all[i].opaque, &values[i]);
  }
  const auto log = read_log(settings(), "t", 3);
  ASSERT_EQ(log.size(), values.size());
  EXPECT_EQ(log[499].value, "value 499");
  EXPECT_EQ(log[499].key, "key");
}

TEST_F(ProducerTest, RefusesARecordBeyondTheLimitBeforeProducing) {
  auto producer = make({.topic = "t", .max_record_bytes = 100});
  const Status status = producer->produce(0, "k", std::string(101, 'x'), nullptr);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().kind, ErrorKind::kTooLarge);
  EXPECT_EQ(producer->outstanding(), 0U);
}

TEST_F(ProducerTest, SaysThatThereIsNoSuchTopicOrNoBroker) {
  kafka_.broker_down();
  auto producer = make();
  const auto partitions = producer->warm(milliseconds(200));
  ASSERT_FALSE(partitions.ok());
  EXPECT_EQ(partitions.error().kind, ErrorKind::kUnavailable);
}

TEST_F(ProducerTest, WaitsForABrokerThatIsAwayAndThenDeliversOnce) {
  auto producer = make();
  ASSERT_TRUE(producer->warm(seconds(60)).ok());
  kafka_.broker_down();
  const std::string value = "v";
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(producer->produce(0, "k", value, nullptr).ok());
  EXPECT_EQ(producer->flush(milliseconds(300)), 10U);
  EXPECT_TRUE(reports().empty());
  kafka_.broker_up();
  EXPECT_EQ(producer->flush(seconds(90)), 0U);
  EXPECT_EQ(read_log(settings(), "t", 3).size(), 10U);
  EXPECT_EQ(fatal_calls(), 0);
}

TEST_F(ProducerTest, ReportsAPermanentRefusalAsNotPersisted) {
  auto producer = make();
  ASSERT_TRUE(producer->warm(seconds(60)).ok());
  kafka_.push_errors(MockKafka::kProduce, {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE});
  const std::string value = "v";
  ASSERT_TRUE(producer->produce(0, "k", value, nullptr).ok());
  ASSERT_TRUE(eventually([&] { return !reports().empty(); }));
  EXPECT_EQ(reports()[0].delivery, Delivery::kNotPersisted);
  EXPECT_EQ(reports()[0].reason, ErrorKind::kTooLarge);
}

TEST_F(ProducerTest, SurfacesAFatalErrorOnceAndWithholdsItsFailures) {
  auto producer = make();
  ASSERT_TRUE(producer->warm(seconds(60)).ok());
  kafka_.push_errors(MockKafka::kProduce, {RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER});
  const std::string value = "v";
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(producer->produce(0, "k", value, nullptr).ok());
  ASSERT_TRUE(eventually([&] { return fatal_calls() == 1; }));
  EXPECT_FALSE(fatal_.empty());
  const Status status = producer->produce(0, "k", value, nullptr);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().kind, ErrorKind::kConflict);
  // What failed because the producer died says nothing about the record.
  for (const DeliveryReport& report : reports()) EXPECT_EQ(report.delivery, Delivery::kPersisted);
  EXPECT_GT(producer->flush(seconds(1)), 0U);
  producer.reset();
  EXPECT_EQ(fatal_calls(), 1);
}

TEST_F(ProducerTest, EndsWhileABrokerHangs) {
  auto producer = make();
  ASSERT_TRUE(producer->warm(seconds(60)).ok());
  kafka_.set_delay_ms(600'000);
  const std::string value = "v";
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(producer->produce(i % 3, "k", value, nullptr).ok());
  const auto before = std::chrono::steady_clock::now();
  producer.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - before, seconds(30));
  EXPECT_TRUE(reports().empty());
}

TEST_F(ProducerTest, RefusesPropertiesThatTheGuaranteesStandOn) {
  Settings changed = settings();
  changed.properties = {{"acks", "1"}};
  EXPECT_THROW(Producer(changed, {.topic = "t"}, [](auto) {}, [](auto) {}), std::invalid_argument);
  changed.properties = {{"no.such.property", "1"}};
  EXPECT_THROW(Producer(changed, {.topic = "t"}, [](auto) {}, [](auto) {}), std::invalid_argument);
}

TEST_F(ProducerTest, SyncProducerGivesCoordinatesInTheOrderOfTheRecords) {
  SyncProducer producer(settings(), seconds(60));
  const std::vector<OutgoingRecord> records{
      {.topic = "t", .partition = 2, .key = "a", .value = "1", .headers = {{"reason", "x"}, {"empty", ""}}},
      {.topic = "t", .partition = 0, .key = "b", .value = std::nullopt},
      {.topic = "t", .partition = 2, .key = "c", .value = "3"},
  };
  const auto written = producer.send(records);
  ASSERT_TRUE(written.ok()) << written.error().message;
  ASSERT_EQ(written->size(), 3U);
  EXPECT_EQ((*written)[0].partition, 2);
  EXPECT_EQ((*written)[0].offset, 0);
  EXPECT_EQ((*written)[1].partition, 0);
  EXPECT_EQ((*written)[2].offset, 1);
  const auto log = read_log(settings(), "t", 3);
  ASSERT_EQ(log.size(), 3U);
  EXPECT_EQ(log[1].headers.size(), 2U);
  EXPECT_EQ(log[1].headers[0].value, "x");
}

TEST_F(ProducerTest, SyncProducerSaysUnknownAtItsTimeoutAndWorksAgain) {
  SyncProducer producer(settings(), milliseconds(1500));
  ASSERT_TRUE(producer.send_one({.topic = "t", .partition = 0, .key = "k", .value = "0"}).ok());
  kafka_.broker_down();
  const auto lost = producer.send_one({.topic = "t", .partition = 0, .key = "k", .value = "1"});
  ASSERT_FALSE(lost.ok());
  EXPECT_TRUE(lost.error().kind == ErrorKind::kUnavailable || lost.error().kind == ErrorKind::kUnknownOutcome)
      << to_string(lost.error().kind);
  kafka_.broker_up();
  EXPECT_TRUE(
      eventually([&] { return producer.send_one({.topic = "t", .partition = 0, .key = "k", .value = "2"}).ok(); }));
}

}  // namespace
}  // namespace millrace::kafka
