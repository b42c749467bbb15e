#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/registry_view/registry_view.hpp>

namespace millrace::registry_view {

/// The keys of each tenant's devices in their order; empty with Lists::kNone. One thread changes it, any number read.
class DeviceLists {
 public:
  explicit DeviceLists(Lists lists) : keeps_(lists == Lists::kKeep) {}

  void add(std::string_view tenant, std::int32_t device_key);
  void remove(std::string_view tenant, std::int32_t device_key);
  [[nodiscard]] std::vector<std::int32_t> after(std::string_view tenant, std::int32_t key, std::size_t most) const;

 private:
  const bool keeps_;
  mutable std::shared_mutex mutex_;
  std::map<std::string, std::set<std::int32_t>, std::less<>> keys_;
};

}  // namespace millrace::registry_view
