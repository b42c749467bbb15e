#include "replay/replay_record.hpp"

#include <gtest/gtest.h>

namespace millrace::registry {
namespace {

using telemetry::Receipt;

constexpr Receipt kDead{1, 12, 0, true};
constexpr Receipt kSource{3, 4'711, 1, false};

telemetry::IngestId fresh_id() {
  telemetry::IngestId id;
  id.start.fill(9);
  id.counter = 5;
  return id;
}

telemetry::Batch record() {
  telemetry::Batch batch;
  batch.ingest_id.counter = 1;
  batch.ingest_time = 1'000;
  batch.tenant = "t";
  batch.device = "d";
  batch.device_key = 7;
  batch.delivery.message_id = "id-1";
  batch.delivery.packet_id = 4;
  batch.points = {{"a", 1.0, std::nullopt}, {"b", 2.0, 77}, {"c", true, std::nullopt}, {"d", 4.0, std::nullopt}};
  return batch;
}

TEST(ReplayMessage, HoldsTheDeadPointsWithTheTimesThatTheyWouldHaveHad) {
  const auto made = replay_message(record(), std::vector<std::int32_t>{1, 2, 3}, kDead, kSource, fresh_id());
  ASSERT_TRUE(made.ok()) << made.error().message;
  const std::vector<telemetry::Point> wanted{{"b", 2.0, 77}, {"c", true, 1'002}, {"d", 4.0, 1'003}};
  EXPECT_EQ(made->batch.points, wanted);
  EXPECT_EQ(made->untimed, (std::vector<std::int32_t>{1, 2}));
  EXPECT_EQ(made->batch.ingest_id, fresh_id());
  EXPECT_EQ(made->batch.ingest_time, 1'000);
  EXPECT_EQ(made->batch.device_key, 7);
  EXPECT_EQ(made->batch.replay, (telemetry::Replay{"dead:1:12", "3:4711.1"}));
  EXPECT_EQ(made->batch.delivery, telemetry::DeliveryFacts{}) << "it must not look like a copy of the first record";
}

TEST(ReplayMessage, WithoutAListAllPointsAreDeadAndTheMessagesTimeIsTheirs) {
  telemetry::Batch batch = record();
  batch.event_time = 500;
  const auto made = replay_message(batch, {}, kDead, kSource, fresh_id());
  ASSERT_TRUE(made.ok());
  ASSERT_EQ(made->batch.points.size(), 4U);
  EXPECT_EQ(made->batch.points[0].time, 500);
  EXPECT_EQ(made->batch.points[1].time, 77);
  EXPECT_TRUE(made->untimed.empty());
  EXPECT_FALSE(made->batch.event_time);
}

TEST(CorrectedMessage, TakesThePlaceOfThePointsAndKeepsTheTimeOfTheFirstArrival) {
  telemetry::Batch corrected;
  corrected.points = {{"x", 1.5, 90}, {"y", std::string("on"), std::nullopt}};
  auto made = corrected_message(record(), corrected, kDead, kDead, fresh_id());
  ASSERT_TRUE(made.ok()) << made.error().message;
  const std::vector<telemetry::Point> wanted{{"x", 1.5, 90}, {"y", std::string("on"), 1'001}};
  EXPECT_EQ(made->batch.points, wanted);
  EXPECT_EQ(made->untimed, (std::vector<std::int32_t>{1}));
  EXPECT_EQ(made->batch.device_key, 7);
  EXPECT_EQ(made->batch.replay, (telemetry::Replay{"dead:1:12", "dead:1:12"}));
  EXPECT_EQ(made->batch.delivery, telemetry::DeliveryFacts{});
  corrected.event_time = 400;
  made = corrected_message(record(), corrected, kDead, kSource, fresh_id());
  EXPECT_EQ(made->batch.points[1].time, 400);
  EXPECT_TRUE(made->untimed.empty());
  corrected.points.clear();
  EXPECT_EQ(corrected_message(record(), corrected, kDead, kSource, fresh_id()).error().kind, ErrorKind::kPrecondition);
}

TEST(ReplayMessage, APointThatIsNotThereIsRefused) {
  for (const std::int32_t index : {-1, 4}) {
    const auto made = replay_message(record(), std::vector{index}, kDead, kSource, fresh_id());
    ASSERT_FALSE(made.ok());
    EXPECT_EQ(made.error().kind, ErrorKind::kPrecondition);
  }
  telemetry::Batch empty = record();
  empty.points.clear();
  EXPECT_FALSE(replay_message(empty, {}, kDead, kSource, fresh_id()).ok());
}

}  // namespace
}  // namespace millrace::registry
