#pragma once

#include <cstddef>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

namespace millrace::gateway {

struct StringHash {
  using is_transparent = void;  // NOLINT(readability-identifier-naming)
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
using NameSet = std::unordered_set<std::string, StringHash, std::equal_to<>>;
using NamesByTenant = std::unordered_map<std::string, NameSet, StringHash, std::equal_to<>>;

/// Bounds how many different metric names a tenant brings up in this process: each becomes a row and an id in the
/// database, and the writer may turn nothing down. Thread-safe.
class MetricNames {
 public:
  explicit MetricNames(std::size_t most_per_tenant) : most_(most_per_tenant) {}

  /// True if the name is known or there was room for it.
  [[nodiscard]] bool admit(std::string_view tenant, std::string_view name);

  [[nodiscard]] std::size_t most() const { return most_; }

 private:
  std::size_t most_;
  std::mutex mutex_;
  NamesByTenant names_;
};

/// A thread's own memory of admitted names in front of MetricNames, so that the usual case takes no lock.
class MetricNamesCache {
 public:
  explicit MetricNamesCache(MetricNames& shared) : shared_(shared) {}
  [[nodiscard]] bool admit(std::string_view tenant, std::string_view name);
  [[nodiscard]] std::size_t most() const { return shared_.most(); }

 private:
  MetricNames& shared_;
  NamesByTenant names_;
};

}  // namespace millrace::gateway
