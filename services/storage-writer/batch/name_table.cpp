#include "batch/name_table.hpp"

namespace millrace::writer {

std::uint32_t NameTable::index_of(std::string_view tenant, std::string_view name, MetricType type) {
  key_.assign(tenant).append(1, '\0').append(name);
  const auto [found, is_new] = indexes_.try_emplace(key_, static_cast<std::uint32_t>(indexes_.size()));
  if (is_new) {
    const std::scoped_lock lock(mutex_);
    names_.push_back({std::string(tenant), std::string(name), type});
  }
  return found->second;
}

std::vector<MetricName> NameTable::since(std::size_t first) const {
  const std::scoped_lock lock(mutex_);
  if (first >= names_.size()) return {};
  return {names_.begin() + static_cast<std::ptrdiff_t>(first), names_.end()};
}

}  // namespace millrace::writer
