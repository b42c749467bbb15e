#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <millrace/base/time.hpp>
#include <millrace/kafka/consumer.hpp>

namespace millrace::writer {

/// A row of storage.window_result. `source` is an index of DerivedBatch::records, here and below.
struct WindowRow {
  std::size_t source = 0;
  std::string tenant;
  std::string metric;
  std::int32_t device = 0;
  TimeUs start = 0;
  std::int64_t size_us = 0;
  std::int64_t count = 0;
  double min = 0;
  double max = 0;
  double mean = 0;
  double last = 0;
  TimeUs last_time = 0;
  std::int32_t revision = 0;
  bool is_final = false;
  bool approximate = false;
};

/// A row of storage.alert; the event itself is the source record's value.
struct AlertRow {
  std::size_t source = 0;
  std::string alert_key;
  std::int64_t event_number = 0;
  std::string alert_id;  ///< 32 lower-case hexadecimal digits
  std::string tenant;
  std::string rule;
  std::string device;
  std::string metric;
  std::int16_t state = 0;
  std::int16_t severity = 0;
  TimeUs raised_at = 0;
  std::optional<TimeUs> cleared_at;
  std::string description;
};

/// A record that no row is made of.
struct DerivedDeadLetter {
  std::size_t source = 0;
  std::string reason;
  bool sent = false;  ///< telemetry.dead has it
};

/// What one transaction stores of the derived topics.
struct DerivedBatch {
  /// Offsets [begin, end) of one partition. They have holes: transaction markers, aborted and compacted records.
  struct Slice {
    std::int32_t generation = 0;
    std::int64_t begin = 0;
    std::int64_t end = 0;
  };
  std::map<kafka::TopicPartition, Slice> slices;
  std::vector<kafka::Record> records;
  std::vector<WindowRow> windows;
  std::vector<AlertRow> alerts;
  std::vector<DerivedDeadLetter> dead;
  std::chrono::steady_clock::time_point first{};  ///< when its first offset came
  std::size_t bytes = 0;

  [[nodiscard]] bool empty() const { return slices.empty(); }
};

}  // namespace millrace::writer
