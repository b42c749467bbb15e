#include "type_book.hpp"

#include <mutex>

namespace millrace::registry_view {

TypeBook::Number TypeBook::number_of(std::string_view tenant, std::string_view name) {
  const auto [found, added] = by_name_.try_emplace({std::string(tenant), std::string(name)}, kNone);
  if (!added) return found->second;
  if (free_.empty()) {
    found->second = static_cast<Number>(places_.size());
    places_.emplace_back();
  } else {
    found->second = free_.back();
    free_.pop_back();
  }
  places_[found->second] = {found->first, nullptr, 0, reload_};
  return found->second;
}

void TypeBook::drop_if_unused(Number number) {
  Place& place = places_[number];
  if (place.type || place.devices != 0) return;
  by_name_.erase(place.name);
  place = {};
  free_.push_back(number);
}

void TypeBook::drop_type(Number number) {
  if (!places_[number].type) return;
  places_[number].type = nullptr;
  types_.fetch_sub(1, std::memory_order_release);
  drop_if_unused(number);
}

void TypeBook::put(std::string_view tenant, DeviceTypePtr type) {
  const std::unique_lock lock(mutex_);
  Place& place = places_[number_of(tenant, type->name)];
  if (!place.type) types_.fetch_add(1, std::memory_order_release);
  place.type = std::move(type);
  place.reload = reload_;
  changed();
}

void TypeBook::remove(std::string_view tenant, std::string_view name) {
  const std::unique_lock lock(mutex_);
  const auto found = by_name_.find({std::string(tenant), std::string(name)});
  if (found == by_name_.end()) return;
  drop_type(found->second);
  changed();
}

TypeBook::Number TypeBook::hold(std::string_view tenant, std::string_view name) {
  if (name.empty()) return kNone;
  const std::unique_lock lock(mutex_);
  const Number number = number_of(tenant, name);
  ++places_[number].devices;
  return number;
}

void TypeBook::release(Number number) {
  if (number == kNone) return;
  const std::unique_lock lock(mutex_);
  --places_[number].devices;
  drop_if_unused(number);
}

void TypeBook::end_reload() {
  const std::unique_lock lock(mutex_);
  for (Number number = 0; number < places_.size(); ++number) {
    if (places_[number].reload != reload_) drop_type(number);
  }
  changed();
}

TypeBook::Number TypeBook::find(std::string_view tenant, std::string_view name) const {
  const std::shared_lock lock(mutex_);
  const auto found = by_name_.find({std::string(tenant), std::string(name)});
  return found == by_name_.end() ? kNone : found->second;
}

DeviceTypePtr TypeBook::at(Number number) const {
  if (number == kNone) return nullptr;
  const std::shared_lock lock(mutex_);
  return number < places_.size() ? places_[number].type : nullptr;
}

}  // namespace millrace::registry_view
