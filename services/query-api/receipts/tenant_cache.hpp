#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace millrace::query_api {

/// Whose record lies at which offset, for the last `most` records that were looked at. A log position never changes its
/// record within a generation. Thread-safe.
class TenantCache {
 public:
  explicit TenantCache(std::size_t most) : most_(most) {}

  struct Key {
    std::int32_t generation = 0;
    std::int32_t partition = 0;
    std::int64_t offset = 0;
    bool operator==(const Key&) const = default;
  };

  void put(const Key& key, std::string_view tenant);
  [[nodiscard]] std::optional<std::string> get(const Key& key) const;

 private:
  struct Hash {
    std::size_t operator()(const Key& key) const;
  };

  const std::size_t most_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, std::uint32_t> numbers_;
  std::deque<std::string> tenants_;
  std::unordered_map<Key, std::uint32_t, Hash> entries_;
  std::deque<Key> order_;
};

}  // namespace millrace::query_api
