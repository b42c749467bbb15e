#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace millrace::kafka {

/// How to reach the brokers. Shared by all clients of a process.
struct Settings {
  std::string bootstrap;  ///< `host:port[,host:port…]`
  std::string client_id = "millrace";

  /// librdkafka properties (CONFIGURATION.md) set after everything else: security, time-outs in tests. What a class of
  /// this library relies on (idempotence, acks, event mask) cannot be overridden: its constructor throws
  /// std::invalid_argument.
  std::vector<std::pair<std::string, std::string>> properties = {};
};

inline constexpr std::int64_t kOffsetBeginning = -2;  ///< the oldest record that is kept
inline constexpr std::int64_t kOffsetEnd = -1;        ///< behind the newest record

struct TopicPartition {
  std::string topic;
  std::int32_t partition = 0;
  friend bool operator==(const TopicPartition&, const TopicPartition&) = default;
  friend auto operator<=>(const TopicPartition&, const TopicPartition&) = default;
};

struct Position {
  TopicPartition where;
  std::int64_t offset = kOffsetBeginning;  ///< of the next record, or kOffsetBeginning / kOffsetEnd
};

/// Offsets of what a partition holds: [low, high).
struct Watermarks {
  std::int64_t low = 0;
  std::int64_t high = 0;
};

struct Header {
  std::string name;
  std::string value;
};

}  // namespace millrace::kafka
