#include <gtest/gtest.h>

#include <millrace/kafka/admin.hpp>
#include <millrace/kafka/topics.hpp>

namespace millrace::kafka {
namespace {

const TopicSpec* find(const std::vector<TopicSpec>& topics, const std::string& name) {
  for (const TopicSpec& topic : topics) {
    if (topic.name == name) return &topic;
  }
  return nullptr;
}

TEST(Topics, TelemetryIsStampedByTheBrokerAndKeptSevenDays) {
  const auto topics = wanted_topics({"x."}, {.telemetry_partitions = 24, .replication = 1});
  const TopicSpec* telemetry = find(topics, "x.telemetry");
  ASSERT_NE(telemetry, nullptr);
  EXPECT_EQ(telemetry->partitions, 24);
  EXPECT_EQ(telemetry->configs.at("message.timestamp.type"), "LogAppendTime");
  EXPECT_EQ(telemetry->configs.at("retention.ms"), "-1") << "storage-writer removes what is old";
  EXPECT_EQ(telemetry->configs.at("cleanup.policy"), "delete");
}

TEST(Topics, DeadLettersAreKeptThirtyDaysAndTheRegistryIsCompacted) {
  const auto topics = wanted_topics({}, {});
  ASSERT_NE(find(topics, "millrace.telemetry.dead"), nullptr);
  EXPECT_EQ(find(topics, "millrace.telemetry.dead")->configs.at("retention.ms"),
            std::to_string(30LL * 24 * 3600 * 1000));
  ASSERT_NE(find(topics, "millrace.registry"), nullptr);
  EXPECT_EQ(find(topics, "millrace.registry")->configs.at("cleanup.policy"), "compact");
  EXPECT_EQ(find(topics, "millrace.registry")->partitions, 1);
}

TEST(Topics, ThreeReplicasNeedTwoInSyncAndNoUncleanElection) {
  for (const TopicSpec& topic : wanted_topics({}, {.telemetry_partitions = 12, .replication = 3})) {
    EXPECT_EQ(topic.configs.at("min.insync.replicas"), "2") << topic.name;
    EXPECT_EQ(topic.configs.at("unclean.leader.election.enable"), "false") << topic.name;
  }
  EXPECT_EQ(wanted_topics({}, {}).front().configs.count("min.insync.replicas"), 0U);
}

TEST(Topics, CompareNamesWhatDiffers) {
  const std::vector<TopicSpec> wanted{{"a", 2, 1, {{"retention.ms", "5"}}}, {"b", 1, 1, {}}};
  const std::vector<TopicDescription> found{{"a", 3, 1, {{"retention.ms", "6"}, {"other", "1"}}}};
  const auto differences = compare(wanted, found);
  ASSERT_EQ(differences.size(), 3U);
  EXPECT_EQ(differences[0].what, "partitions");
  EXPECT_EQ(differences[0].found, "3");
  EXPECT_EQ(differences[1].what, "retention.ms");
  EXPECT_EQ(differences[1].wanted, "5");
  EXPECT_EQ(differences[2].topic, "b");
  EXPECT_EQ(differences[2].what, "topic");
}

TEST(Topics, DurabilityIsSaidInWords) {
  TopicDescription topic{
      "t",
      12,
      3,
      {{"min.insync.replicas", "2"}, {"flush.messages", "9223372036854775807"}, {"flush.ms", "9223372036854775807"}}};
  EXPECT_EQ(topic.durability(), "replication factor 3, min.insync.replicas 2, flush left to the operating system");
  topic.configs["flush.messages"] = "1";
  EXPECT_EQ(topic.durability(), "replication factor 3, min.insync.replicas 2, flush every 1 messages");
}

}  // namespace
}  // namespace millrace::kafka
