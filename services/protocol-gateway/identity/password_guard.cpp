#include "identity/password_guard.hpp"

#include <algorithm>

#include <boost/asio/ip/address.hpp>

namespace millrace::gateway {

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
  const std::lock_guard lock(mutex_);
  TokenBucket& of_device = devices_.bucket(device_key);
  const auto wait = of_device.take(options_.device, 1, now);
  if (wait.count() > 0) return std::chrono::ceil<std::chrono::milliseconds>(wait);
  const auto address_wait = addresses_.bucket(address).take(options_.address, 1, now);
  if (address_wait.count() == 0) return {};
  of_device.give_back(options_.device, 1);
  return std::chrono::ceil<std::chrono::milliseconds>(address_wait);
}

void PasswordGuard::give_back(std::string_view device_key, std::string_view address) {
  const std::lock_guard lock(mutex_);
  devices_.bucket(device_key).give_back(options_.device, 1);
  addresses_.bucket(address).give_back(options_.address, 1);
}

std::string owner_of_address(const std::string& host) {
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(host, error);
  if (error || !address.is_v6()) return host;
  const auto v6 = address.to_v6();
  if (v6.is_v4_mapped()) return boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, v6).to_string();
  const auto bytes = v6.to_bytes();
  return {reinterpret_cast<const char*>(bytes.data()), 8};
}

}  // namespace millrace::gateway
