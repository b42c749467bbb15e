#include <cstdlib>

#include <gtest/gtest.h>

#include <millrace/base/digest.hpp>
#include <millrace/kafka/admin.hpp>
#include <millrace/kafka/consumer.hpp>
#include <millrace/kafka/sync_producer.hpp>
#include <millrace/kafka/transaction.hpp>

#include "eventually.hpp"
#include "kafka_log.hpp"

namespace millrace::kafka {
namespace {

using millrace::testing::eventually;
using millrace::testing::read_log;
using std::chrono::milliseconds;
using std::chrono::seconds;

class TransactionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* bootstrap = std::getenv("MILLRACE_TEST_KAFKA");
    if (bootstrap == nullptr) {
      ASSERT_EQ(std::getenv("MILLRACE_TEST_REQUIRE"), nullptr) << "MILLRACE_TEST_KAFKA is not set";
      GTEST_SKIP() << "MILLRACE_TEST_KAFKA is not set";
    }
    settings_ = {bootstrap, "transaction-test"};
    names_.prefix = "tt-" + random_token(6) + ".";
    group_ = "group-" + random_token(6);
    Admin admin(settings_);
    const auto created = admin.create_missing(wanted_topics(names_, {2, 1}), seconds(60));
    ASSERT_TRUE(created.ok()) << created.error().message;
    SyncProducer producer(settings_, seconds(60));
    std::vector<OutgoingRecord> records;
    for (int i = 0; i < 20; ++i) records.push_back({names_.telemetry(), i % 2, "k", std::to_string(i)});
    ASSERT_TRUE(producer.send(records).ok());
  }

  // A member of the group that owns both partitions.
  std::unique_ptr<Consumer> join(const std::string& instance) {
    auto consumer =
        std::make_unique<Consumer>(settings_, ConsumerOptions{.group_id = group_, .group_instance_id = instance});
    bool assigned = false;
    RebalanceCallbacks callbacks;
    callbacks.on_assigned = [&](std::span<const TopicPartition> partitions) -> Result<std::vector<Position>> {
      std::vector<Position> from;
      for (const TopicPartition& one : partitions) from.push_back({one, kOffsetBeginning});
      assigned = partitions.size() == 2;
      return from;
    };
    callbacks.on_revoked = [](std::span<const TopicPartition>, Revocation) {};
    EXPECT_TRUE(consumer->subscribe({names_.telemetry()}, std::move(callbacks)).ok());
    EXPECT_TRUE(eventually([&] {
      static_cast<void>(consumer->poll(milliseconds(50)));
      return assigned;
    }));
    return consumer;
  }
  std::unique_ptr<TransactionalProducer> producer(const std::string& id) {
    auto made = std::make_unique<TransactionalProducer>(settings_, TransactionOptions{.transactional_id = group_ + id});
    const Status ready = made->init(seconds(60));
    EXPECT_TRUE(ready.ok()) << (ready.ok() ? "" : ready.error().message);
    return made;
  }
  std::vector<CommittedPosition> positions(std::int64_t offset, const std::string& metadata) {
    return {{{names_.telemetry(), 0}, offset, metadata}, {{names_.telemetry(), 1}, offset + 1, metadata}};
  }
  std::vector<TopicPartition> both() { return {{names_.telemetry(), 0}, {names_.telemetry(), 1}}; }

  Settings settings_;
  TopicNames names_;
  std::string group_;
};

TEST_F(TransactionTest, RecordsAndPositionsAreSeenTogether) {
  auto consumer = join("a");
  auto nothing = consumer->committed(both(), seconds(60));
  ASSERT_TRUE(nothing.ok()) << nothing.error().message;
  EXPECT_EQ(nothing->at(0).offset, -1);

  auto one = producer("a");
  ASSERT_TRUE(one->begin().ok());
  const std::vector<Header> headers{{"h", "x"}};
  ASSERT_TRUE(one->produce(names_.alerts(), 1, "key", "value", headers).ok());
  ASSERT_TRUE(one->produce(names_.windows(), 0, "w", "figures").ok());
  const std::string metadata = "1;from=3;" + std::string(3'900, 'x');
  const Status sent = one->send_positions(positions(4, metadata), consumer->group_metadata(), seconds(60));
  ASSERT_TRUE(sent.ok()) << sent.error().message;
  const Status committed = one->commit(seconds(60));
  ASSERT_TRUE(committed.ok()) << committed.error().message;

  const auto after = consumer->committed(both(), seconds(60));
  ASSERT_TRUE(after.ok()) << after.error().message;
  EXPECT_EQ(after->at(0).offset, 4);
  EXPECT_EQ(after->at(1).offset, 5);
  EXPECT_EQ(after->at(1).metadata, metadata);
  const auto alerts = read_log(settings_, names_.alerts(), 2);
  ASSERT_EQ(alerts.size(), 1U);
  EXPECT_EQ(alerts[0].partition, 1);
  EXPECT_EQ(alerts[0].key, "key");
  ASSERT_EQ(alerts[0].headers.size(), 1U);
  EXPECT_EQ(alerts[0].headers[0].value, "x");
  EXPECT_EQ(read_log(settings_, names_.windows(), 2).size(), 1U);
}

TEST_F(TransactionTest, ASuccessorEndsWhatItsPredecessorLeftOpen) {
  auto consumer = join("a");
  auto crashed = producer("a");
  ASSERT_TRUE(crashed->begin().ok());
  ASSERT_TRUE(crashed->produce(names_.alerts(), 0, "key", "of the crashed one").ok());
  ASSERT_TRUE(crashed->send_positions(positions(4, "m"), consumer->group_metadata(), seconds(60)).ok());
  auto successor = producer("a");
  // Waits for the open transaction: must not give the old answer while the crashed one could still commit.
  const auto committed = consumer->committed(both(), seconds(60));
  ASSERT_TRUE(committed.ok()) << committed.error().message;
  EXPECT_EQ(committed->at(0).offset, -1);
  EXPECT_FALSE(crashed->commit(seconds(10)).ok()) << "the fenced one cannot commit";
  ASSERT_TRUE(successor->begin().ok());
  ASSERT_TRUE(successor->produce(names_.alerts(), 0, "key", "of the successor").ok());
  ASSERT_TRUE(successor->commit(seconds(60)).ok());
  const auto alerts = read_log(settings_, names_.alerts(), 2);
  ASSERT_EQ(alerts.size(), 1U);
  EXPECT_EQ(alerts[0].value, "of the successor");
}

TEST_F(TransactionTest, AMemberThatTheGroupHasReplacedCannotMoveThePositions) {
  auto old_consumer = join("a");
  auto old_producer = producer("old");
  ASSERT_TRUE(old_producer->begin().ok());
  ASSERT_TRUE(old_producer->produce(names_.alerts(), 0, "key", "of the old one").ok());
  const GroupMetadata old_membership = old_consumer->group_metadata();
  // The same static member joins again: the first one is fenced (KIP-345).
  auto new_consumer = join("a");
  const Status sent = old_producer->send_positions(positions(4, "m"), old_membership, seconds(20));
  EXPECT_FALSE(sent.ok());
  EXPECT_EQ(new_consumer->committed(both(), seconds(60))->at(0).offset, -1);
}

}  // namespace
}  // namespace millrace::kafka
