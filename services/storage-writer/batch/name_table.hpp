#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "batch/batch.hpp"

namespace millrace::writer {

/// A metric name of a tenant and the type it came with first.
struct MetricName {
  std::string tenant;
  std::string name;
  MetricType type = MetricType::kDouble;
};

/// Gives each (tenant, metric name) a small index, so that rows carry numbers. The reading thread adds, the committing
/// thread asks for what it does not know yet.
class NameTable {
 public:
  /// Reading thread only.
  [[nodiscard]] std::uint32_t index_of(std::string_view tenant, std::string_view name, MetricType type);
  /// Names from index `first` on. Any thread.
  [[nodiscard]] std::vector<MetricName> since(std::size_t first) const;

 private:
  std::string key_;  // reused, so that a known name costs no allocation
  std::unordered_map<std::string, std::uint32_t> indexes_;
  mutable std::mutex mutex_;
  std::vector<MetricName> names_;  // guarded by mutex_
};

}  // namespace millrace::writer
