#include "limits/budget.hpp"

#include <algorithm>

namespace millrace::gateway {

// Few: a device has a handful of connections.
std::uint32_t DeviceBudget::clients_other_than(std::uint64_t client) const {
  std::uint32_t count = 0;
  for (std::size_t i = 0; i < clients_.size(); ++i) {
    const auto before = clients_.begin() + static_cast<std::ptrdiff_t>(i);
    if (clients_[i] != client && std::find(clients_.begin(), before, clients_[i]) == before) ++count;
  }
  return count;
}

bool DeviceBudget::enter(std::uint64_t client, std::uint32_t most, bool& first_of_client) {
  const std::lock_guard lock(mutex_);
  first_of_client = std::find(clients_.begin(), clients_.end(), client) == clients_.end();
  if (first_of_client && most != 0 && clients_other_than(client) >= most) return false;
  clients_.push_back(client);
  return true;
}

bool DeviceBudget::leave(std::uint64_t client) {
  const std::lock_guard lock(mutex_);
  const auto found = std::find(clients_.begin(), clients_.end(), client);
  if (found == clients_.end()) return false;
  *found = clients_.back();
  clients_.pop_back();
  if (clients_.empty()) clients_.shrink_to_fit();
  return std::find(clients_.begin(), clients_.end(), client) == clients_.end();
}

std::uint32_t DeviceBudget::connections() {
  const std::lock_guard lock(mutex_);
  return static_cast<std::uint32_t>(clients_.size());
}

}  // namespace millrace::gateway
