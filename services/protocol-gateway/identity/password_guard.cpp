#include "identity/password_guard.hpp"

#include <array>

namespace millrace::gateway {
namespace {

// Keys of records have no NUL.
std::string name_of_pair(std::string_view device_key, std::string_view address) {
  std::string name(device_key);
  name += '\0';
  name += address;
  return name;
}

}  // namespace

TokenBucket& PasswordGuard::Table::bucket(std::string_view name) {
  if (const auto found = places_.find(name); found != places_.end()) {
    order_.splice(order_.begin(), order_, found->second);
    return found->second->bucket;
  }
  if (order_.size() >= most_) {
    places_.erase(order_.back().name);
    order_.pop_back();
  }
  order_.emplace_front();
  order_.front().name = name;
  places_.emplace(order_.front().name, order_.begin());
  return order_.front().bucket;
}

std::chrono::milliseconds PasswordGuard::begin(std::string_view device_key, std::string_view address,
                                               Clock::time_point now) {
  const std::string pair = name_of_pair(device_key, address);
  const std::lock_guard lock(mutex_);
  // The address goes first: who is over its limit makes no entries that would push others out.
  const std::array<Share, 3> shares{Share{&addresses_, address, options_.address}, Share{&pairs_, pair, options_.pair},
                                    Share{&devices_, device_key, options_.device}};
  for (std::size_t i = 0; i < shares.size(); ++i) {
    const auto wait = shares[i].table->bucket(shares[i].name).take(shares[i].rate, 1, now);
    if (wait.count() == 0) continue;
    while (i-- > 0) shares[i].table->bucket(shares[i].name).give_back(shares[i].rate, 1);
    return std::chrono::ceil<std::chrono::milliseconds>(wait);
  }
  return {};
}

void PasswordGuard::give_back(std::string_view device_key, std::string_view address) {
  const std::string pair = name_of_pair(device_key, address);
  const std::lock_guard lock(mutex_);
  addresses_.bucket(address).give_back(options_.address, 1);
  pairs_.bucket(pair).give_back(options_.pair, 1);
  devices_.bucket(device_key).give_back(options_.device, 1);
}

}  // namespace millrace::gateway
