#include <cstdlib>
#include <thread>

#include <gtest/gtest.h>

#include <millrace/base/digest.hpp>
#include <millrace/kafka/admin.hpp>
#include <millrace/kafka/consumer.hpp>
#include <millrace/kafka/sync_producer.hpp>

#include "eventually.hpp"
#include "kafka_log.hpp"

namespace millrace::kafka {
namespace {

using millrace::testing::eventually;
using std::chrono::milliseconds;
using std::chrono::seconds;

class KafkaTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* bootstrap = std::getenv("MILLRACE_TEST_KAFKA");
    if (bootstrap == nullptr) {
      ASSERT_EQ(std::getenv("MILLRACE_TEST_REQUIRE"), nullptr) << "MILLRACE_TEST_KAFKA is not set";
      GTEST_SKIP() << "MILLRACE_TEST_KAFKA is not set";
    }
    settings_ = {bootstrap, "kafka-test"};
    names_.prefix = "kt-" + random_token(6) + ".";
    admin_ = std::make_unique<Admin>(settings_);
  }
  void create() {
    const auto created = admin_->create_missing(wanted_topics(names_, {2, 1}), seconds(60));
    ASSERT_TRUE(created.ok()) << created.error().message;
  }
  void fill(int count) {
    SyncProducer producer(settings_, seconds(60));
    std::vector<OutgoingRecord> records;
    for (int i = 0; i < count; ++i)
      records.push_back({.topic = names_.telemetry(), .partition = 0, .key = "k", .value = std::to_string(i)});
    const auto sent = producer.send(records);
    ASSERT_TRUE(sent.ok()) << sent.error().message;
  }

  Settings settings_;
  TopicNames names_;
  std::unique_ptr<Admin> admin_;
};

TEST_F(KafkaTest, CreatingTopicsTwiceChangesNothingAndLeavesNoDifference) {
  const auto wanted = wanted_topics(names_, {2, 1});
  const auto first = admin_->create_missing(wanted, seconds(60));
  ASSERT_TRUE(first.ok()) << first.error().message;
  EXPECT_EQ(first->size(), wanted.size());
  const auto second = admin_->create_missing(wanted, seconds(60));
  ASSERT_TRUE(second.ok());
  EXPECT_TRUE(second->empty());
  std::vector<std::string> names;
  for (const TopicSpec& spec : wanted) names.push_back(spec.name);
  ASSERT_TRUE(eventually([&] {
    const auto found = admin_->describe(names, seconds(60));
    return found.ok() && found->size() == wanted.size() && compare(wanted, *found).empty();
  }));
}

TEST_F(KafkaTest, ADifferenceIsNamedAndAConfigCanBeSetWithoutLosingOthers) {
  create();
  // A topic that has just been made may not be known everywhere yet.
  ASSERT_TRUE(eventually(
      [&] { return admin_->set_configs(names_.telemetry(), {{"retention.ms", "3600000"}}, seconds(60)).ok(); }));
  const std::vector<std::string> names{names_.telemetry()};
  const std::vector<TopicSpec> wanted{wanted_topics(names_, {2, 1}).front()};
  std::vector<TopicDifference> differences;
  ASSERT_TRUE(eventually([&] {
    const auto found = admin_->describe(names, seconds(60));
    if (!found.ok()) return false;
    differences = compare(wanted, *found);
    return differences.size() == 1;
  })) << differences.size();
  EXPECT_EQ(differences[0].what, "retention.ms");
  EXPECT_EQ(differences[0].found, "3600000");
}

TEST_F(KafkaTest, WatermarksFollowDeleteRecordsAndAnOldOffsetIsAFault) {
  create();
  fill(10);
  const auto before = admin_->watermarks({names_.telemetry(), 0}, seconds(60));
  ASSERT_TRUE(before.ok()) << before.error().message;
  EXPECT_EQ(before->low, 0);
  EXPECT_EQ(before->high, 10);
  const auto low = admin_->delete_records({names_.telemetry(), 0}, 4, seconds(60));
  ASSERT_TRUE(low.ok()) << low.error().message;
  EXPECT_EQ(*low, 4);
  Consumer consumer(settings_, {});
  const std::vector<Position> start{{{names_.telemetry(), 0}, 2}};
  ASSERT_TRUE(consumer.assign(start).ok());
  Polled polled;
  ASSERT_TRUE(eventually([&] { return (polled = consumer.poll(milliseconds(100))).kind == Polled::Kind::kFault; }));
  EXPECT_EQ(polled.fault, Fault::kOffsetOutOfRange) << polled.message;
}

TEST_F(KafkaTest, TheBrokersTimeIsInTheRecordAndFindsItsOffset) {
  create();
  fill(1);
  Consumer consumer(settings_, {});
  const std::vector<Position> start{{{names_.telemetry(), 0}, 0}};
  ASSERT_TRUE(consumer.assign(start).ok());
  Polled polled;
  ASSERT_TRUE(eventually([&] { return (polled = consumer.poll(milliseconds(100))).kind == Polled::Kind::kRecord; }));
  EXPECT_LT(std::abs(polled.record.timestamp_us() - now_us()), 120 * kUsPerSecond);
  const std::vector<TopicPartition> partitions{{names_.telemetry(), 0}, {names_.telemetry(), 1}};
  const auto at = consumer.offsets_at(partitions, polled.record.timestamp_us(), seconds(60));
  ASSERT_TRUE(at.ok()) << at.error().message;
  EXPECT_EQ((*at)[0].offset, 0);
  EXPECT_EQ((*at)[1].offset, kOffsetEnd);
  for (const TimeUs before_1970 : {TimeUs{-1'999}, TimeUs{-62'135'596'800'000'000}}) {
    const auto first = consumer.offsets_at(partitions, before_1970, seconds(60));
    ASSERT_TRUE(first.ok()) << first.error().message;
    EXPECT_EQ((*first)[0].offset, 0) << "the beginning, not what Kafka means by -1";
  }
}

TEST_F(KafkaTest, ASecondHolderOfTheInstanceIdFencesTheFirst) {
  create();
  fill(1);
  ConsumerOptions options;
  options.group_id = names_.prefix + "group";
  options.group_instance_id = "one";
  const auto from_start = [](std::span<const TopicPartition> partitions) -> Result<std::vector<Position>> {
    std::vector<Position> positions;
    for (const TopicPartition& partition : partitions) positions.push_back({partition, kOffsetBeginning});
    return positions;
  };
  Consumer first(settings_, options);
  ASSERT_TRUE(first.subscribe({names_.telemetry()}, {from_start, nullptr}).ok());
  ASSERT_TRUE(eventually([&] { return first.poll(milliseconds(100)).kind == Polled::Kind::kRecord; }));
  Consumer second(settings_, options);
  ASSERT_TRUE(second.subscribe({names_.telemetry()}, {from_start, nullptr}).ok());
  bool fenced = false;
  bool second_reads = false;
  std::string seen;
  ASSERT_TRUE(eventually([&] {
    const Polled polled = first.poll(milliseconds(20));
    if (polled.kind == Polled::Kind::kFault) seen += polled.message + "; ";
    fenced = fenced || (polled.kind == Polled::Kind::kFault && polled.fault == Fault::kFenced);
    second_reads = second_reads || second.poll(milliseconds(20)).kind == Polled::Kind::kRecord;
    return fenced && second_reads;
  })) << "fenced "
      << fenced << ", second reads " << second_reads << ", faults: " << seen;
}

TEST_F(KafkaTest, TheClusterHasAnIdAndUnknownTopicsAreNotFound) {
  const auto id = admin_->cluster_id(seconds(60));
  ASSERT_TRUE(id.ok());
  EXPECT_FALSE(id->empty());
  const auto partitions = admin_->partitions(names_.prefix + "none", seconds(60));
  ASSERT_FALSE(partitions.ok());
  EXPECT_EQ(partitions.error().kind, ErrorKind::kNotFound);
}

// What a writer does when its position turns out to be another one, at any moment of its reading, paused or not.
TEST_F(KafkaTest, AssigningAgainReadsFromTheNewOffsets) {
  create();
  fill(3'000);
  ConsumerOptions options;
  options.group_id = names_.prefix;
  options.fetch_wait = milliseconds(20);
  Consumer consumer(settings_, options);
  const std::vector<Position> from{{{names_.telemetry(), 0}, 0}, {{names_.telemetry(), 1}, 0}};
  RebalanceCallbacks callbacks;
  callbacks.on_assigned = [&](std::span<const TopicPartition>) { return from; };
  ASSERT_TRUE(consumer.subscribe({names_.telemetry()}, std::move(callbacks)).ok());
  const std::vector<TopicPartition> where{{names_.telemetry(), 0}, {names_.telemetry(), 1}};
  for (int round = 0; round < 30; ++round) {
    std::int64_t wanted = 0;
    const int records = (round * 37) % 500 + 1;
    ASSERT_TRUE(eventually([&] {
      const Polled polled = consumer.poll(milliseconds(100));
      if (polled.kind == Polled::Kind::kRecord && polled.record.partition() == 0) {
        EXPECT_EQ(polled.record.offset(), wanted);
        ++wanted;
      }
      return wanted == records;
    })) << "round "
        << round << ": nothing after offset " << wanted;
    if (round % 3 == 1) {
      ASSERT_TRUE(consumer.pause(where).ok());
    }
    if (round % 2 == 1) std::this_thread::sleep_for(milliseconds(round % 7));
    ASSERT_TRUE(consumer.assign(from).ok());
  }
}

}  // namespace
}  // namespace millrace::kafka
