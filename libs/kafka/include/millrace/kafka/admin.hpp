#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/kafka/settings.hpp>
#include <millrace/kafka/topics.hpp>

namespace millrace::kafka {

/// A topic as it is.
struct TopicDescription {
  std::string name;
  int partitions = 0;
  int replication = 0;  ///< the smallest among the partitions
  std::map<std::string, std::string> configs = {};

  /// A config's value, empty if the broker did not name it.
  [[nodiscard]] std::string config(const std::string& key) const;

  /// `replication 1, min.insync.replicas 1, flush never forced (page cache)`: what an acknowledgement survives, for a
  /// log line and /readyz.
  [[nodiscard]] std::string durability() const;
};

/// What one topic lacks against its specification.
struct TopicDifference {
  std::string topic;
  std::string what;  ///< `partitions`, `replication`, or a config's name
  std::string wanted;
  std::string found;  ///< empty: not set or no such topic (`what` is then `topic`)
};

/// Pure: compares by the specification's keys only.
[[nodiscard]] std::vector<TopicDifference> compare(std::span<const TopicSpec> wanted,
                                                   std::span<const TopicDescription> found);

/// Blocking calls with a deadline each; for start-up, tools and slow background checks. Thread-safe.
/// kUnavailable: no broker answered in time.
class Admin {
 public:
  /// Throws std::invalid_argument on a property that librdkafka does not know.
  explicit Admin(const Settings& settings);
  ~Admin();
  Admin(const Admin&) = delete;
  Admin& operator=(const Admin&) = delete;

  /// Creates what does not exist; a topic that exists is left as it is. Returns the names that were created.
  [[nodiscard]] Result<std::vector<std::string>> create_missing(std::span<const TopicSpec> wanted,
                                                                std::chrono::milliseconds timeout);

  /// Sets configs of existing topics one by one (incrementally: others stay). Partitions and replication are never
  /// changed: the partition count of `telemetry` is part of the devices' order.
  [[nodiscard]] Status set_configs(const std::string& topic, const std::map<std::string, std::string>& configs,
                                   std::chrono::milliseconds timeout);

  /// Descriptions of those of `names` that exist.
  [[nodiscard]] Result<std::vector<TopicDescription>> describe(std::span<const std::string> names,
                                                               std::chrono::milliseconds timeout);

  /// Partition count; kNotFound if there is no such topic.
  [[nodiscard]] Result<int> partitions(const std::string& topic, std::chrono::milliseconds timeout);

  [[nodiscard]] Result<std::string> cluster_id(std::chrono::milliseconds timeout);

  [[nodiscard]] Result<Watermarks> watermarks(const TopicPartition& where, std::chrono::milliseconds timeout);

  /// Removes everything below `offset` of a partition (DeleteRecords); returns the new low watermark.
  [[nodiscard]] Result<std::int64_t> delete_records(const TopicPartition& where, std::int64_t offset,
                                                    std::chrono::milliseconds timeout);

  /// Deletes topics; for tests.
  [[nodiscard]] Status delete_topics(std::span<const std::string> names, std::chrono::milliseconds timeout);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::kafka
