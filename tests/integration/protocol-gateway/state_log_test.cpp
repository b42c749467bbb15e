#include "presence/state_log.hpp"

#include <atomic>
#include <map>
#include <mutex>
#include <set>

#include <gtest/gtest.h>

#include "eventually.hpp"
#include "kafka_log.hpp"
#include "mock_kafka.hpp"

namespace millrace::gateway {
namespace {

using millrace::testing::eventually;
using millrace::testing::MockKafka;
using std::chrono::milliseconds;

constexpr int kPartitions = 2;

class StateLogTest : public ::testing::Test {
 protected:
  StateLogTest() { kafka_.create_topic("s", kPartitions); }

  void start(StateLogOptions options = {}) {
    options.kafka.bootstrap = kafka_.bootstrap();
    options.kafka.client_id = "test";
    options.topic = "s";
    log_ = std::make_unique<StateLog>(options);
    log_->start();
    ASSERT_TRUE(eventually([&] { return log_->accepting(); }));
    ASSERT_EQ(log_->partitions(), kPartitions);
  }
  Status write(int number, std::optional<std::string> value) {
    return log_->write(number % kPartitions, "k" + std::to_string(number), std::move(value),
                       [this, number](const Result<kafka::RecordCoordinate>& where) {
                         const std::lock_guard lock(mutex_);
                         answers_.emplace(number, where);
                       });
  }
  std::size_t answered() {
    const std::lock_guard lock(mutex_);
    return answers_.size();
  }

  MockKafka kafka_;
  std::mutex mutex_;
  std::multimap<int, Result<kafka::RecordCoordinate>> answers_;
  std::unique_ptr<StateLog> log_;
};

TEST_F(StateLogTest, TheAnswerIsTheRecordsPlaceAndATombstoneHasNoValue) {
  start();
  ASSERT_TRUE(write(0, "zero").ok());
  ASSERT_TRUE(write(2, std::nullopt).ok());
  ASSERT_TRUE(eventually([&] { return answered() == 2; }));
  EXPECT_EQ(answers_.find(0)->second->offset, 0);
  EXPECT_EQ(answers_.find(2)->second->offset, 1);
  const auto entries = testing::read_log({kafka_.bootstrap(), "test"}, "s", kPartitions);
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[0].value, "zero");
  EXPECT_EQ(entries[1].key, "k2");
  EXPECT_TRUE(entries[1].value.empty());
}

TEST_F(StateLogTest, FatalErrorsLoseNothingAndKeepTheOrder) {
  StateLogOptions options;
  // A broker that refuses a batch refuses those behind it by their sequence numbers; the mock appends them.
  options.kafka.properties.emplace_back("max.in.flight.requests.per.connection", "1");
  start(options);
  constexpr int kRecords = 3000;
  for (int i = 0; i < kRecords; ++i) {
    if (i % 1000 == 500) kafka_.push_errors(MockKafka::kProduce, {RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER});
    ASSERT_TRUE(write(i, std::to_string(i)).ok());
    if (i % 100 == 0) std::this_thread::sleep_for(milliseconds(2));  // spreads the load over the restarts
  }
  ASSERT_TRUE(eventually([&] { return answered() == kRecords; }));
  ASSERT_TRUE(log_->drain(std::chrono::steady_clock::now() + std::chrono::seconds(60)).ok());
  std::map<std::int32_t, int> last;
  std::set<int> seen;
  std::map<std::pair<std::int32_t, std::int64_t>, std::string> values;
  for (const auto& entry : testing::read_log({kafka_.bootstrap(), "test"}, "s", kPartitions)) {
    values[{entry.partition, entry.offset}] = entry.value;
    const int number = std::stoi(entry.value);
    if (!seen.insert(number).second) continue;  // a record may stand there twice; what came first of each is in order
    if (last.contains(entry.partition)) {
      ASSERT_GT(number, last[entry.partition]);
    }
    last[entry.partition] = number;
  }
  EXPECT_EQ(seen.size(), std::size_t{kRecords});
  EXPECT_EQ(last[0], kRecords - 2);
  EXPECT_EQ(last[1], kRecords - 1);
  for (const auto& [number, where] : answers_) {
    ASSERT_TRUE(where.ok()) << where.error().message;
    EXPECT_EQ((values[{where->partition, where->offset}]), std::to_string(number));
  }
}

TEST_F(StateLogTest, WithoutReportsItTakesNobodyInAndGoesOnByItself) {
  StateLogOptions options;
  options.stall_after = milliseconds(200);
  start(options);
  kafka_.broker_down();
  ASSERT_TRUE(write(1, "one").ok());
  ASSERT_TRUE(eventually([&] { return !log_->accepting(); }));
  ASSERT_TRUE(write(3, "what must be said is taken all the same").ok());
  kafka_.broker_up();
  ASSERT_TRUE(eventually([&] { return log_->accepting() && answered() == 2; }));
}

TEST_F(StateLogTest, WhatWasNotAnsweredIsUnknownAfterTheStop) {
  start();
  kafka_.broker_down();
  ASSERT_TRUE(write(1, "one").ok());
  log_->stop();
  ASSERT_EQ(answered(), 1U);
  EXPECT_EQ(answers_.begin()->second.error().kind, ErrorKind::kUnknownOutcome);
}

}  // namespace
}  // namespace millrace::gateway
