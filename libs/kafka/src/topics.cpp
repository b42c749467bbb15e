#include <millrace/kafka/topics.hpp>

namespace millrace::kafka {

namespace {

constexpr const char* kSevenDaysMs = "604800000";
constexpr const char* kThirtyDaysMs = "2592000000";
constexpr const char* kSmallSegmentBytes = "16777216";
constexpr const char* kOneHourMs = "3600000";
constexpr const char* kTenMinutesMs = "600000";
constexpr int kDeadPartitions = 3;
constexpr int kDevicePartitions = 4;

}  // namespace

std::vector<TopicSpec> wanted_topics(const TopicNames& names, const TopicSettings& settings) {
  std::vector<TopicSpec> topics;
  // LogAppendTime: every window of the copy rules is measured by the broker's clock. Never compacted, never
  // transactional, so that its offsets have no holes and a hole means loss.
  topics.push_back({names.telemetry(),
                    settings.telemetry_partitions,
                    settings.replication,
                    {{"cleanup.policy", "delete"},
                     {"message.timestamp.type", "LogAppendTime"},
                     {"retention.bytes", "-1"},
                     // storage-writer removes what is stored, processed and old; the broker must not go by age alone.
                     {"retention.ms", "-1"}}});
  topics.push_back(
      {names.telemetry_dead(),
       kDeadPartitions,
       settings.replication,
       {{"cleanup.policy", "delete"}, {"message.timestamp.type", "LogAppendTime"}, {"retention.ms", kThirtyDaysMs}}});
  // stream-processing writes into the partition of the source record: what it needs of a partition's alerts to go on is
  // in one partition.
  topics.push_back({names.telemetry_late(),
                    settings.telemetry_partitions,
                    settings.replication,
                    {{"cleanup.policy", "delete"}, {"retention.ms", kThirtyDaysMs}}});
  topics.push_back({names.windows(),
                    settings.telemetry_partitions,
                    settings.replication,
                    {{"cleanup.policy", "delete"}, {"retention.ms", kSevenDaysMs}}});
  topics.push_back({names.alerts(),
                    settings.telemetry_partitions,
                    settings.replication,
                    {{"cleanup.policy", "compact"}, {"min.compaction.lag.ms", kSevenDaysMs}}});
  topics.push_back({names.command_events(),
                    settings.telemetry_partitions,
                    settings.replication,
                    {{"cleanup.policy", "delete"}, {"retention.ms", kSevenDaysMs}}});
  topics.push_back({names.rules(), 1, settings.replication, {{"cleanup.policy", "compact"}}});
  // One partition: the registry's changes have one order.
  topics.push_back({names.registry(), 1, settings.replication, {{"cleanup.policy", "compact"}}});
  // Rewritten with each commit that answers wait for and read whole at each start of a gateway: kept short.
  topics.push_back({names.storage_progress(),
                    1,
                    settings.replication,
                    {{"cleanup.policy", "compact"}, {"segment.bytes", kSmallSegmentBytes}}});
  // What is older than its retention is in the database, and read whole at each start of a writer.
  topics.push_back(
      {names.ledger(),
       1,
       settings.replication,
       {{"cleanup.policy", "compact,delete"}, {"retention.ms", kThirtyDaysMs}, {"segment.bytes", kSmallSegmentBytes}}});
  // The offset of a device's `connected` record is its epoch, so neither partition count may change. Stamped by the
  // broker: how long a session has been without a connection is measured by one clock.
  topics.push_back({names.presence(),
                    kDevicePartitions,
                    settings.replication,
                    {{"cleanup.policy", "compact"},
                     {"message.timestamp.type", "LogAppendTime"},
                     {"min.compaction.lag.ms", kSevenDaysMs}}});
  topics.push_back({names.sessions(),
                    kDevicePartitions,
                    settings.replication,
                    {{"cleanup.policy", "compact"},
                     {"message.timestamp.type", "LogAppendTime"},
                     {"segment.bytes", kSmallSegmentBytes}}});
  // Read whole at each start of a gateway.
  topics.push_back({names.limit_leases(),
                    1,
                    settings.replication,
                    {{"cleanup.policy", "delete"}, {"retention.ms", kOneHourMs}, {"segment.ms", kTenMinutesMs}}});
  // Rewritten about twice a second under load and read whole at each start: kept short.
  topics.push_back({names.notifier_progress(),
                    1,
                    settings.replication,
                    {{"cleanup.policy", "compact"}, {"segment.bytes", kSmallSegmentBytes}}});
  if (settings.replication >= 3) {
    for (TopicSpec& topic : topics) {
      topic.configs["min.insync.replicas"] = "2";
      topic.configs["unclean.leader.election.enable"] = "false";
    }
  }
  return topics;
}

}  // namespace millrace::kafka
