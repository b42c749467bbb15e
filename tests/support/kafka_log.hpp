#pragma once

#include <map>
#include <string>
#include <vector>

#include <millrace/kafka/consumer.hpp>

#include "eventually.hpp"

namespace millrace::testing {

struct LogEntry {
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  std::string key;
  std::string value;
  std::vector<kafka::Header> headers;
};

/// Everything a topic holds, partition after partition in log order; gives up after the deadline with what it has.
inline std::vector<LogEntry> read_log(const kafka::Settings& settings, const std::string& topic, int partitions) {
  kafka::Consumer consumer(settings, {});
  std::vector<kafka::Position> start;
  for (int i = 0; i < partitions; ++i) start.push_back({{topic, i}, kafka::kOffsetBeginning});
  std::map<std::int32_t, std::vector<LogEntry>> found;
  std::map<std::int32_t, bool> ended;
  if (!consumer.assign(start).ok()) return {};
  static_cast<void>(eventually([&] {
    kafka::Polled polled = consumer.poll(std::chrono::milliseconds(100));
    if (polled.kind == kafka::Polled::Kind::kRecord) {
      const kafka::Record& record = polled.record;
      found[record.partition()].push_back({record.partition(), record.offset(), std::string(record.key()),
                                           std::string(record.value()), record.headers()});
    }
    if (polled.kind == kafka::Polled::Kind::kEndOfPartition) ended[polled.position.where.partition] = true;
    return ended.size() == static_cast<std::size_t>(partitions);
  }));
  std::vector<LogEntry> all;
  for (auto& [partition, entries] : found) all.insert(all.end(), entries.begin(), entries.end());
  return all;
}

}  // namespace millrace::testing
