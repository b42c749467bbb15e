// Points of dead letters that come again; the tests play device-registry.
#include <millrace/kafka/dead_letter.hpp>
#include <millrace/telemetry/receipt.hpp>

#include "kafka_log.hpp"
#include "writer_fixture.hpp"

namespace millrace::writer {
namespace {

class ReplayTest : public WriterTest {
 protected:
  static constexpr const char* kConstraint = "ALTER TABLE storage.sample ADD CONSTRAINT no_666 CHECK (value <> 666)";
  static constexpr const char* kNoConstraint = "ALTER TABLE storage.sample DROP CONSTRAINT no_666";

  /// A message of device 1 (partition 1) whose second and third point are dead. Offset 0 of its partition.
  telemetry::Batch half_dead(TimeUs time) {
    telemetry::Batch batch = message(1, std::nullopt, 1);
    batch.points.push_back({"m", 666.0, time});
    batch.points.push_back({"n", 666.0, std::nullopt});
    batch.delivery.message_id = "id-1";
    return batch;
  }

  /// The two of them again, as device-registry makes it; `marked` gets its own coordinates.
  kafka::OutgoingRecord replay_of(const telemetry::Batch& batch, std::int64_t offset) {
    telemetry::Batch again = batch;
    again.ingest_id.counter = ++counter_;
    again.delivery = {};
    again.points.erase(again.points.begin());
    again.points[1].time = batch.ingest_time + 2;
    again.replay = telemetry::Replay{"dead:0:0", telemetry::Receipt{1, offset, 0, false}.to_string()};
    kafka::OutgoingRecord out = record(again);
    out.headers.push_back({std::string(kafka::dead_letter::kUntimed), "1"});
    return out;
  }

  void make_dead(const telemetry::Batch& batch) {
    ASSERT_TRUE(session_->script(kConstraint));
    run_writer();
    send(batch);
    ASSERT_TRUE(all_accounted());
    ASSERT_EQ(ask("SELECT cardinality(points) FROM storage.dead_letter"), 2);
    ASSERT_EQ(rows(), 1);
  }
};

TEST_F(ReplayTest, DeadPointsAreStoredOnceHoweverOftenTheyAreReplayed) {
  const TimeUs time = now_us() - 1'000'000;
  const telemetry::Batch batch = half_dead(time);
  make_dead(batch);
  ASSERT_TRUE(session_->script(kNoConstraint));
  send({replay_of(batch, 0), replay_of(batch, 0)});
  ASSERT_TRUE(all_accounted());
  app_.reset();
  run_writer();
  send({replay_of(batch, 0)});
  ASSERT_TRUE(all_accounted());
  EXPECT_EQ(rows(), 3);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.sample WHERE value = 666 AND untimed IS NULL AND time = "
                "to_timestamp(0) + " +
                std::to_string(time) + " * interval '1 microsecond'"),
            1);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.sample WHERE value = 666 AND untimed AND time = to_timestamp(0) + " +
                std::to_string(batch.ingest_time + 2) + " * interval '1 microsecond'"),
            1)
      << "as it would have been stored the first time";
  EXPECT_EQ(ask("SELECT count(*) FROM storage.dead_letter WHERE replayed_offset = 1 AND replayed_generation = 0"), 1);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.dropped_copy WHERE original_offset = 1 AND log_offset IN (2, 3)"), 2)
      << "the second and the third replay are copies of the first";
}

TEST_F(ReplayTest, AReplayDoesNotUndoWhatTheDeviceSentSince) {
  const TimeUs time = now_us() - 1'000'000;
  const telemetry::Batch batch = half_dead(time);
  make_dead(batch);
  send(message(1, time, 5));
  ASSERT_TRUE(all_accounted());
  ASSERT_TRUE(session_->script(kNoConstraint));
  send({replay_of(batch, 0)});
  ASSERT_TRUE(all_accounted());
  EXPECT_EQ(ask("SELECT count(*) FROM storage.sample WHERE value = 5"), 1);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.sample WHERE value = 666"), 1) << "only the point without a time";
}

TEST_F(ReplayTest, WhatIsRefusedAgainIsADeadLetterOfItsOwn) {
  const telemetry::Batch batch = half_dead(now_us());
  make_dead(batch);
  send({replay_of(batch, 0)});
  ASSERT_TRUE(all_accounted());
  EXPECT_EQ(rows(), 1);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.dead_letter WHERE log_offset = 0 AND replayed_offset = 1"), 1);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.dead_letter WHERE log_offset = 1 AND replayed_offset IS NULL"), 1);
  ASSERT_TRUE(session_->script(kNoConstraint));
  telemetry::Batch second = batch;
  send({replay_of(second, 1)});
  ASSERT_TRUE(all_accounted());
  EXPECT_EQ(rows(), 3);
}

TEST_F(ReplayTest, TheReplayOfAnUnknownDeadLetterStoresNothing) {
  run_writer();
  const telemetry::Batch batch = half_dead(now_us());
  send(message(1, now_us(), 1));
  send({replay_of(batch, 0)});
  ASSERT_TRUE(all_accounted());
  EXPECT_EQ(rows(), 1);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.dead_letter WHERE log_offset = 1 AND tenant = 't' AND device = 'd1'"), 1);
}

TEST_F(ReplayTest, ACorrectionOfARefusedPayloadIsStoredOnceHoweverOftenItIsMade) {
  run_writer();
  const auto correction = [this](double value, std::int64_t letter) {
    telemetry::Batch batch = message(1, std::nullopt, value);
    batch.delivery = {};
    batch.points[0].time = batch.ingest_time;
    batch.replay = telemetry::Replay{telemetry::Receipt{7, letter, 0, true}.to_string(),
                                     telemetry::Receipt{7, letter, 0, true}.to_string()};
    kafka::OutgoingRecord out = record(batch);
    out.headers.push_back({std::string(kafka::dead_letter::kUntimed), "0"});
    return out;
  };
  send({correction(1, 5), correction(2, 5)});
  ASSERT_TRUE(all_accounted());
  app_.reset();
  run_writer();
  send({correction(3, 5), correction(4, 6)});
  ASSERT_TRUE(all_accounted());
  EXPECT_EQ(rows(), 2);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.sample WHERE value IN (1, 4) AND untimed"), 2);
  EXPECT_EQ(ask("SELECT log_offset FROM storage.corrected_letter WHERE dead_part = 7 AND dead_offset = 5"), 0);
  EXPECT_EQ(ask("SELECT count(*) FROM storage.dropped_copy WHERE original_offset = 0 AND log_offset IN (1, 2)"), 2);
}

}  // namespace
}  // namespace millrace::writer
