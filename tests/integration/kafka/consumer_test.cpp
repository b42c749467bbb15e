#include <gtest/gtest.h>

#include <millrace/base/ids.hpp>
#include <millrace/kafka/consumer.hpp>
#include <millrace/kafka/sync_producer.hpp>

#include "eventually.hpp"
#include "kafka_log.hpp"
#include "mock_kafka.hpp"

namespace millrace::kafka {
namespace {

using millrace::testing::eventually;
using millrace::testing::MockKafka;
using std::chrono::milliseconds;
using std::chrono::seconds;

class ConsumerTest : public ::testing::Test {
 protected:
  ConsumerTest() { kafka_.create_topic("t", 2); }
  Settings settings() { return {kafka_.bootstrap(), "test"}; }
  void fill(int partition, int count) {
    SyncProducer producer(settings(), seconds(60));
    std::vector<OutgoingRecord> records;
    for (int i = 0; i < count; ++i)
      records.push_back({.topic = "t", .partition = partition, .key = "k", .value = std::to_string(i)});
    ASSERT_TRUE(producer.send(records).ok());
  }
  static Polled next(Consumer& consumer, Polled::Kind kind) {
    Polled polled;
    static_cast<void>(eventually([&] {
      polled = consumer.poll(milliseconds(100));
      return polled.kind == kind;
    }));
    return polled;
  }

  MockKafka kafka_;
};

TEST_F(ConsumerTest, ReadsFromTheGivenOffsetToTheEnd) {
  fill(1, 10);
  Consumer consumer(settings(), {});
  const std::vector<Position> start{{{"t", 1}, 4}};
  ASSERT_TRUE(consumer.assign(start).ok());
  for (int i = 4; i < 10; ++i) {
    const Polled polled = next(consumer, Polled::Kind::kRecord);
    ASSERT_EQ(polled.record.offset(), i);
    EXPECT_EQ(polled.record.value(), std::to_string(i));
    EXPECT_EQ(polled.record.topic(), "t");
    EXPECT_FALSE(polled.record.is_tombstone());
  }
  const Polled end = next(consumer, Polled::Kind::kEndOfPartition);
  EXPECT_EQ(end.position.offset, 10);
  EXPECT_EQ(end.position.where.partition, 1);
  const auto marks = consumer.watermarks({"t", 1}, seconds(60));
  ASSERT_TRUE(marks.ok());
  EXPECT_EQ(marks->high, 10);
}

TEST_F(ConsumerTest, SeekGivesTheSameRecordAgain) {
  fill(0, 5);
  Consumer consumer(settings(), {});
  const std::vector<Position> start{{{"t", 0}, kOffsetBeginning}};
  ASSERT_TRUE(consumer.assign(start).ok());
  static_cast<void>(next(consumer, Polled::Kind::kEndOfPartition));
  ASSERT_TRUE(consumer.seek({{"t", 0}, 2}, seconds(60)).ok());
  EXPECT_EQ(next(consumer, Polled::Kind::kRecord).record.offset(), 2);
}

TEST_F(ConsumerTest, AnOffsetBeyondTheLogIsAFaultNotAJump) {
  fill(0, 3);
  Consumer consumer(settings(), {});
  const std::vector<Position> start{{{"t", 0}, 1000}};
  ASSERT_TRUE(consumer.assign(start).ok());
  const Polled polled = next(consumer, Polled::Kind::kFault);
  EXPECT_EQ(polled.fault, Fault::kOffsetOutOfRange) << polled.message;
  EXPECT_EQ(polled.position.where.partition, 0);
}

TEST_F(ConsumerTest, AGroupStartsWhereItsOwnerSays) {
  fill(0, 6);
  fill(1, 6);
  ConsumerOptions options;
  options.group_id = "g";
  options.group_instance_id = "one";
  Consumer consumer(settings(), options);
  std::size_t assigned = 0;
  std::size_t revoked = 0;
  ASSERT_TRUE(consumer
                  .subscribe({"t"}, {[&](std::span<const TopicPartition> partitions) -> Result<std::vector<Position>> {
                                       std::vector<Position> positions;
                                       for (const TopicPartition& partition : partitions)
                                         positions.push_back({partition, 5});
                                       assigned += partitions.size();
                                       return positions;
                                     },
                                     [&](std::span<const TopicPartition> partitions, Revocation) {
                                       revoked += partitions.size();
                                     }})
                  .ok());
  for (int i = 0; i < 2; ++i) EXPECT_EQ(next(consumer, Polled::Kind::kRecord).record.offset(), 5);
  EXPECT_EQ(assigned, 2U);
  EXPECT_EQ(consumer.assignment().size(), 2U);
  consumer.close();
  EXPECT_EQ(revoked, 2U);
}

TEST_F(ConsumerTest, AStartThatCannotBeToldIsAFatalFault) {
  fill(0, 1);
  ConsumerOptions options;
  options.group_id = "g2";
  Consumer consumer(settings(), options);
  ASSERT_TRUE(consumer
                  .subscribe({"t"}, {[](std::span<const TopicPartition>) -> Result<std::vector<Position>> {
                                       return Error{ErrorKind::kUnavailable, "the database is away"};
                                     },
                                     [](std::span<const TopicPartition>, Revocation) {}})
                  .ok());
  const Polled polled = next(consumer, Polled::Kind::kFault);
  EXPECT_EQ(polled.fault, Fault::kFatal);
  EXPECT_EQ(polled.message, "the database is away");
}

TEST_F(ConsumerTest, KeysGoWhereBasePartitionOfSays) {
  std::vector<OutgoingRecord> records;
  for (int i = 0; i < 50; ++i)
    records.push_back({.topic = "t", .key = "tenant/device-" + std::to_string(i), .value = "v"});
  SyncProducer producer(settings(), seconds(60));
  const auto written = producer.send(records);
  ASSERT_TRUE(written.ok());
  for (std::size_t i = 0; i < records.size(); ++i) {
    EXPECT_EQ((*written)[i].partition, partition_of(records[i].key, 2)) << records[i].key;
  }
}

}  // namespace
}  // namespace millrace::kafka
