#include "ingest/metric_names.hpp"

namespace millrace::gateway {
namespace {

NameSet& names_of(NamesByTenant& names, std::string_view tenant) {
  const auto found = names.find(tenant);
  return found != names.end() ? found->second : names.emplace(std::string(tenant), NameSet{}).first->second;
}

}  // namespace

bool MetricNames::admit(std::string_view tenant, std::string_view name) {
  const std::lock_guard lock(mutex_);
  NameSet& known = names_of(names_, tenant);
  if (known.contains(name)) return true;
  if (known.size() >= most_) return false;
  known.emplace(name);
  return true;
}

bool MetricNamesCache::admit(std::string_view tenant, std::string_view name) {
  NameSet& known = names_of(names_, tenant);
  if (known.contains(name)) return true;
  if (!shared_.admit(tenant, name)) return false;
  known.emplace(name);
  return true;
}

}  // namespace millrace::gateway
