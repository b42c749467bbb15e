// Positions for answers that wait, and the ledger, as the writer leaves them in Kafka and PostgreSQL.
#include <millrace/storage/v1/ledger.pb.h>
#include <millrace/storage/v1/progress.pb.h>
#include <millrace/telemetry_log/stored_position.hpp>

#include "kafka_log.hpp"
#include "writer_fixture.hpp"

namespace millrace::writer {
namespace {

using telemetry_log::StoredPosition;

class PositionTest : public WriterTest {
 protected:
  static constexpr const char* kConstraint = "ALTER TABLE storage.sample ADD CONSTRAINT no_666 CHECK (value <> 666)";

  /// All positions of the partition of device 1 that were ever published.
  std::vector<StoredPosition> published() {
    std::vector<StoredPosition> positions;
    for (const auto& entry : testing::read_log(config_.kafka, config_.topics.storage_progress(), 1)) {
      storage::v1::Progress progress;
      EXPECT_TRUE(progress.ParseFromString(entry.value));
      if (progress.partition() == 1) positions.push_back(telemetry_log::position_of(progress));
    }
    return positions;
  }
  StoredPosition newest() {
    const auto positions = published();
    return positions.empty() ? StoredPosition{} : positions.back();
  }
  telemetry::Batch awaited(double value, const std::string& id = {}) {
    telemetry::Batch batch = message(1, now_us(), value);
    batch.answer_when_stored = true;
    batch.delivery.message_id = id;
    return batch;
  }
  [[nodiscard]] bool says(std::int64_t next_offset) {
    return testing::eventually([&] { return newest().next_offset == next_offset; });
  }
};

TEST_F(PositionTest, IsPublishedAfterACommitOnlyWhereAnAnswerWaits) {
  run_writer();
  ASSERT_TRUE(testing::eventually([&] { return published().size() == 1; })) << "when the partition is taken";
  for (int i = 0; i < 5; ++i) {
    send(message(1, now_us(), i));
    ASSERT_TRUE(all_accounted());
  }
  EXPECT_EQ(published().size(), 1U) << "nobody waits";
  send(awaited(7));
  ASSERT_TRUE(says(6));
  EXPECT_EQ(newest().fate(5), StoredPosition::Fate::kStored);
  EXPECT_EQ(published().size(), 2U);
}

TEST_F(PositionTest, NamesTheDeadAndTheirCopiesAlsoWhenAnotherWriterTakesThePartition) {
  ASSERT_TRUE(session_->script(kConstraint));
  run_writer();
  const telemetry::Batch dead = awaited(666, "id-1");
  telemetry::Batch copy = dead;
  send(dead);
  copy.ingest_id.counter = ++counter_;
  send(copy);
  send(awaited(1));
  ASSERT_TRUE(says(3));
  for (const bool again : {false, true}) {
    const StoredPosition position = newest();
    EXPECT_EQ(position.fate(0), StoredPosition::Fate::kDead) << again;
    EXPECT_EQ(position.fate(1), StoredPosition::Fate::kDead) << "a copy answers as its original";
    EXPECT_EQ(position.fate(2), StoredPosition::Fate::kStored) << again;
    ASSERT_NE(position.find_dead(0), nullptr);
    EXPECT_EQ(position.find_dead(0)->points, std::vector<std::int32_t>{0});
    EXPECT_NE(position.find_dead(0)->reason.find("no_666"), std::string::npos);
    if (again) break;
    const std::size_t before = published().size();
    app_.reset();
    run_writer();
    ASSERT_TRUE(testing::eventually([&] { return published().size() > before; }));
  }
}

TEST_F(PositionTest, TheLedgerIsCommittedWithWhatItCounts) {
  ASSERT_TRUE(session_->script(kConstraint));
  run_writer();
  const TimeUs time = now_us() - 1'000'000;
  telemetry::Batch two = message(1, time, 1);
  two.points.push_back({"n", 666.0, std::nullopt});
  send(two);
  send(message(1, time, 2));    // another value for the same time
  send(message(1, time, 2));    // the same again
  telemetry::Batch copy = two;  // rule 0
  send(copy);
  kafka::OutgoingRecord garbage = record(two);
  garbage.value = "garbage";
  send({garbage});
  ASSERT_TRUE(all_accounted());
  const auto sum = [&](const std::string& column) {
    return ask("SELECT coalesce(sum(" + column + "), 0)::int8 FROM storage.ledger_hour WHERE part = 1");
  };
  EXPECT_EQ(sum("records"), 5);
  EXPECT_EQ(sum("next_offset - first_offset"), 5);
  EXPECT_EQ(sum("copies"), 1);
  EXPECT_EQ(sum("dead_records"), 1);
  EXPECT_EQ(sum("points"), 4);
  EXPECT_EQ(sum("dead_points"), 1);
  EXPECT_EQ(sum("inserted"), rows());
  EXPECT_LE(sum("inserted") + sum("replaced"), 3) << "where both came in one batch the later value is the one inserted";
}

TEST_F(PositionTest, WhatGatewaysAcknowledgedIsKeptOnceHoweverOftenItIsSaid) {
  run_writer();
  storage::v1::Acknowledged said;
  said.set_start(std::string(16, '\x07'));
  said.set_topic(config_.topics.telemetry());
  said.set_partition(1);
  said.set_hour_us(1'767'225'600'000'000);
  const auto tell = [&](std::int64_t records) {
    said.set_records(records);
    said.set_highest_offset(records * 2);
    ASSERT_TRUE(producer_->send_one({.topic = config_.topics.ledger(), .key = "k", .value = said.SerializeAsString()}));
  };
  const auto kept = [&] { return ask("SELECT coalesce(sum(records), 0)::int8 FROM storage.ledger_acknowledged"); };
  tell(5);
  tell(9);
  ASSERT_TRUE(testing::eventually([&] { return kept() == 9; }));
  app_.reset();
  run_writer();
  tell(11);
  ASSERT_TRUE(testing::eventually([&] { return kept() == 11; }));
  EXPECT_EQ(ask("SELECT highest_offset FROM storage.ledger_acknowledged"), 22);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.ledger_acknowledged WHERE start = decode(repeat('07', 16), 'hex')"), 1);
}

TEST_F(PositionTest, RefusedPayloadsAreCountedApart) {
  run_writer();
  storage::v1::Acknowledged said;
  said.set_start(std::string(16, '\x07'));
  said.set_partition(3);
  said.set_hour_us(1'767'225'600'000'000);
  said.set_records(4);
  for (const std::string& topic : {config_.topics.telemetry_dead(), config_.topics.alerts()}) {
    said.set_topic(topic);
    ASSERT_TRUE(
        producer_->send_one({.topic = config_.topics.ledger(), .key = topic, .value = said.SerializeAsString()}));
  }
  said.set_topic(config_.topics.telemetry());
  ASSERT_TRUE(producer_->send_one({.topic = config_.topics.ledger(), .key = "k", .value = said.SerializeAsString()}));
  const auto refused = [&] { return ask("SELECT coalesce(sum(records), 0)::int8 FROM storage.ledger_refused"); };
  ASSERT_TRUE(testing::eventually([&] { return refused() == 4; }));
  ASSERT_TRUE(testing::eventually([&] { return ask("SELECT count(*) FROM storage.ledger_acknowledged") == 1; }));
  EXPECT_EQ(refused(), 4);
}

}  // namespace
}  // namespace millrace::writer
