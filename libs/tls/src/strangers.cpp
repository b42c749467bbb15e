#include <millrace/tls/strangers.hpp>

namespace millrace::tls {

Strangers::Place Strangers::enter(const std::string& address) {
  {
    const std::lock_guard lock(mutex_);
    std::size_t& count = counts_[address];
    if (count >= most_) return nullptr;
    ++count;
  }
  return {this, [all = shared_from_this(), address](const void* /*all*/) { all->leave(address); }};
}

void Strangers::leave(const std::string& address) {
  const std::lock_guard lock(mutex_);
  const auto count = counts_.find(address);
  if (--count->second == 0) counts_.erase(count);
}

}  // namespace millrace::tls
