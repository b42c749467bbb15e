#include "ingest/stored_answers.hpp"

#include <gtest/gtest.h>

#include <millrace/storage/v1/progress.pb.h>

#include "ingest/ack_level.hpp"

namespace millrace::gateway {
namespace {

using Kind = Outcome::Kind;
using std::chrono::hours;
using std::chrono::milliseconds;
using telemetry_log::StoredPosition;

class NoSink final : public AckSink {
 public:
  [[nodiscard]] std::size_t io_index() const override { return 0; }
  void settle(std::uint64_t /*token*/, const Outcome& /*outcome*/) override {}
  void flush() override {}
};

class StoredAnswersTest : public ::testing::Test {
 protected:
  struct Told {
    std::uint64_t token;
    Outcome outcome;
  };

  void hold(std::int64_t offset, StoredMark mark = {}, std::int32_t generation = 0,
            StoredAnswers::Clock::time_point until = StoredAnswers::Clock::time_point::max()) {
    Outcome outcome;
    outcome.kind = Kind::kAcknowledged;
    outcome.receipt = {3, offset, generation, false};
    std::vector<StoredAnswers::Held> held;
    held.push_back({{{sink_, static_cast<std::uint64_t>(offset), until}, std::move(outcome)}, mark});
    answers_.hold(std::move(held));
  }
  void position(std::int64_t next, std::vector<StoredPosition::Dead> dead = {},
                std::optional<std::int64_t> dead_from = 0, std::int32_t generation = 0) {
    StoredPosition position;
    position.partition = 3;
    position.generation = generation;
    position.next_offset = next;
    position.dead_from = dead_from;
    position.dead = std::move(dead);
    answers_.take(std::move(position));
  }
  /// What was told since the last call, as token and kind.
  std::vector<std::pair<std::uint64_t, Kind>> told() {
    std::vector<std::pair<std::uint64_t, Kind>> all;
    for (const Told& one : told_) all.emplace_back(one.token, one.outcome.kind);
    told_.clear();
    return all;
  }
  using All = std::vector<std::pair<std::uint64_t, Kind>>;

  observability::Metrics registry_;
  GatewayMetrics metrics_{registry_};
  std::shared_ptr<AckSink> sink_ = std::make_shared<NoSink>();
  std::vector<Told> told_;
  StoredAnswers answers_{3, metrics_, [this](std::vector<Settlement> settlements) {
                           for (Settlement& one : settlements)
                             told_.push_back({one.waiter.token, std::move(one.outcome)});
                         }};
};

TEST_F(StoredAnswersTest, AnAnswerWaitsUntilThePositionHasPassedItsRecord) {
  hold(10);
  hold(11);
  EXPECT_EQ(told(), (All{{10, Kind::kInLog}, {11, Kind::kInLog}}));
  position(10);
  EXPECT_EQ(told(), All{}) << "the position is that of the next record";
  position(11);
  EXPECT_EQ(told(), (All{{10, Kind::kStored}}));
  position(11);
  position(20);
  EXPECT_EQ(told(), (All{{11, Kind::kStored}}));
}

TEST_F(StoredAnswersTest, APositionThatCameBeforeTheDeliveryReportCounts) {
  const StoredMark before = answers_.mark(3);
  position(50, {{40, {1}, "too big"}});
  hold(39, before);
  hold(40, before);
  ASSERT_EQ(told_.size(), 2U);
  EXPECT_EQ(told_[0].outcome.kind, Kind::kStored);
  EXPECT_EQ(told_[0].outcome.receipt.to_string(), "3:39");
  EXPECT_EQ(told_[1].outcome.kind, Kind::kNotStored);
  EXPECT_NE(told_[1].outcome.error.message.find("too big"), std::string::npos);
}

TEST_F(StoredAnswersTest, ADeadRecordIsRefusedWithItsPoints) {
  hold(10);
  hold(11);
  told_.clear();
  position(12, {{10, {}, "whole"}, {11, {0, 2}, "22003: out of range"}});
  ASSERT_EQ(told_.size(), 2U);
  EXPECT_EQ(told_[0].outcome.error.message, "the whole message is a dead letter: whole");
  EXPECT_EQ(told_[1].outcome.error.message,
            "points 0, 2 are a dead letter, the others are stored: 22003: out of range");
}

TEST_F(StoredAnswersTest, WhatAPositionDoesNotReachBackToIsUnknownAndNeverCalledStored) {
  hold(10);
  hold(11);
  told_.clear();
  position(12, {}, 11);
  EXPECT_EQ(told(), (All{{10, Kind::kUnknown}, {11, Kind::kStored}}));
  hold(20, answers_.mark(3));
  told_.clear();
  position(21, {}, std::nullopt);
  EXPECT_EQ(told(), (All{{20, Kind::kUnknown}})) << "an older writer says nothing of dead records";
}

TEST_F(StoredAnswersTest, AnOlderPositionOfAWriterThatWasReplacedChangesNothing) {
  hold(10);
  told_.clear();
  position(8);
  position(5);
  EXPECT_EQ(answers_.mark(3).next_offset, 8);
  position(11);
  EXPECT_EQ(told(), (All{{10, Kind::kStored}}));
}

TEST_F(StoredAnswersTest, AnOffsetBelowThePositionOfItsProductionMeansThatTheLogWasCut) {
  position(100);
  const StoredMark mark = answers_.mark(3);
  EXPECT_EQ(mark.next_offset, 100);
  hold(60, mark);
  EXPECT_EQ(told(), (All{{60, Kind::kUnknown}})) << "not stored: the position is of another record";
}

TEST_F(StoredAnswersTest, ABreakOfTheLogEndsTheWaitOfTheGenerationBefore) {
  hold(10);
  const StoredMark old = answers_.mark(3);
  told_.clear();
  position(5, {}, 0, 1);
  EXPECT_EQ(told(), (All{{10, Kind::kUnknown}}));
  hold(11, old);
  EXPECT_EQ(told(), (All{{11, Kind::kUnknown}})) << "produced before the break";
  hold(6, answers_.mark(3), 1);
  told_.clear();
  position(900, {}, 0, 0);
  EXPECT_EQ(told(), All{}) << "of the generation before";
  position(7, {}, 0, 1);
  EXPECT_EQ(told(), (All{{6, Kind::kStored}}));
}

TEST_F(StoredAnswersTest, WhoeverIsGoneIsNotKept) {
  std::weak_ptr<AckSink> gone = sink_;
  hold(10);
  told_.clear();
  sink_.reset();
  EXPECT_TRUE(gone.expired());
  position(11);
  EXPECT_EQ(told(), All{});
}

TEST_F(StoredAnswersTest, ADeadlineThatIsOverLeavesNothingBehind) {
  hold(10, {}, 0, StoredAnswers::Clock::now() - milliseconds(1));
  EXPECT_EQ(told(), (All{{10, Kind::kInLog}}));
  position(11);
  EXPECT_EQ(told(), All{});
}

TEST_F(StoredAnswersTest, NotMoreThanSoManyWait) {
  for (const std::int64_t offset : {10, 11}) hold(offset, {}, 0, StoredAnswers::Clock::now() + hours(1));
  EXPECT_FALSE(answers_.full());
  hold(12);
  EXPECT_TRUE(answers_.full());
  position(11);
  EXPECT_FALSE(answers_.full());
}

TEST(StoredPosition, IsReadFromItsMessageInTheOrderOfOffsets) {
  storage::v1::Progress progress;
  progress.set_partition(4);
  progress.set_generation(2);
  progress.set_next_offset(9);
  EXPECT_FALSE(telemetry_log::position_of(progress).dead_from);
  progress.set_dead_from(3);
  for (const std::int64_t offset : {7, 5}) {
    auto& dead = *progress.add_dead();
    dead.set_offset(offset);
    dead.add_points(1);
  }
  const StoredPosition position = telemetry_log::position_of(progress);
  EXPECT_EQ(position.fate(2), StoredPosition::Fate::kUntold);
  EXPECT_EQ(position.fate(5), StoredPosition::Fate::kDead);
  EXPECT_EQ(position.fate(6), StoredPosition::Fate::kStored);
  EXPECT_EQ(position.fate(9), StoredPosition::Fate::kNotYet);
  EXPECT_EQ(position.find_dead(7)->points, std::vector<std::int32_t>{1});
}

TEST(AckLevelOfQuery, IsReadWhereItStandsOnce) {
  EXPECT_EQ(*ack_level_of_query(""), std::nullopt);
  EXPECT_EQ(*ack_level_of_query("a=b&back=stored"), std::nullopt);
  EXPECT_EQ(*ack_level_of_query("ack=stored"), AckLevel::kStored);
  EXPECT_EQ(*ack_level_of_query("x=1&ack=bus&y=2"), AckLevel::kBus);
  for (const char* query : {"ack=", "ack=Stored", "ack=stored&ack=stored"})
    EXPECT_FALSE(ack_level_of_query(query).ok());
}

}  // namespace
}  // namespace millrace::gateway
