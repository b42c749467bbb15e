#pragma once

#include <cstdint>
#include <vector>

#include <millrace/base/time.hpp>

#include "store/series_table.hpp"

namespace millrace::writer {

/// Series and times as parallel arrays, for statements.
struct KeyColumns {
  std::vector<std::int32_t> devices;
  std::vector<std::int32_t> metrics;
  std::vector<TimeUs> times;

  void add(const SeriesKey& key) {
    devices.push_back(key.device);
    metrics.push_back(key.metric);
  }
  void add(const SampleKey& key) {
    add(key.series);
    times.push_back(key.time);
  }
};

}  // namespace millrace::writer
