#pragma once

#include <map>
#include <string>
#include <vector>

namespace millrace::kafka {

/// The platform's topics under one prefix, so that several installations can share a cluster.
struct TopicNames {
  std::string prefix = "millrace.";

  [[nodiscard]] std::string telemetry() const { return prefix + "telemetry"; }
  [[nodiscard]] std::string telemetry_dead() const { return prefix + "telemetry.dead"; }
  [[nodiscard]] std::string telemetry_late() const { return prefix + "telemetry.late"; }
  [[nodiscard]] std::string windows() const { return prefix + "windows"; }
  [[nodiscard]] std::string alerts() const { return prefix + "alerts"; }
  [[nodiscard]] std::string rules() const { return prefix + "rules"; }
  [[nodiscard]] std::string registry() const { return prefix + "registry"; }
  [[nodiscard]] std::string storage_progress() const { return prefix + "storage-progress"; }
  [[nodiscard]] std::string ledger() const { return prefix + "ledger"; }
  [[nodiscard]] std::string presence() const { return prefix + "presence"; }
  [[nodiscard]] std::string sessions() const { return prefix + "sessions"; }
  [[nodiscard]] std::string limit_leases() const { return prefix + "limit-leases"; }
  [[nodiscard]] std::string command_events() const { return prefix + "command-events"; }
  [[nodiscard]] std::string notifier_progress() const { return prefix + "notifier-progress"; }
};

/// A topic as it should be.
struct TopicSpec {
  std::string name;
  int partitions = 1;
  int replication = 1;
  std::map<std::string, std::string> configs = {};  ///< broker topic configs, `retention.ms` and the like
};

struct TopicSettings {
  int telemetry_partitions = 12;
  int replication = 1;
};

/// All topics that are in use. With a replication factor of 3 or more every topic gets min.insync.replicas=2 and no
/// unclean leader election.
[[nodiscard]] std::vector<TopicSpec> wanted_topics(const TopicNames& names, const TopicSettings& settings);

}  // namespace millrace::kafka
