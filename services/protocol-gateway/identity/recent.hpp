#pragma once

#include <cstddef>
#include <cstring>
#include <list>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>

#include <millrace/base/digest.hpp>

namespace millrace::gateway {

/// What was learnt of digests last: the entry that was not asked for longest makes room for a new one. Thread-safe.
template <typename Value>
class Recent {
 public:
  explicit Recent(std::size_t most) : most_(most) {}

  [[nodiscard]] std::optional<Value> find(const Sha256& key) {
    const std::lock_guard lock(mutex_);
    const auto found = places_.find(key);
    if (found == places_.end()) return std::nullopt;
    order_.splice(order_.begin(), order_, found->second);
    return found->second->second;
  }

  void put(const Sha256& key, Value value) {
    const std::lock_guard lock(mutex_);
    if (const auto found = places_.find(key); found != places_.end()) {
      found->second->second = std::move(value);
      order_.splice(order_.begin(), order_, found->second);
      return;
    }
    if (order_.size() >= most_) {
      places_.erase(order_.back().first);
      order_.pop_back();
    }
    order_.emplace_front(key, std::move(value));
    places_.emplace(key, order_.begin());
  }

  void remove(const Sha256& key) {
    const std::lock_guard lock(mutex_);
    const auto found = places_.find(key);
    if (found == places_.end()) return;
    order_.erase(found->second);
    places_.erase(found);
  }

  [[nodiscard]] std::size_t size() const {
    const std::lock_guard lock(mutex_);
    return order_.size();
  }

 private:
  // Digests are as good as random; nobody chooses them.
  struct FirstBytes {
    std::size_t operator()(const Sha256& key) const {
      std::size_t hash = 0;
      std::memcpy(&hash, key.data(), sizeof hash);
      return hash;
    }
  };
  using Order = std::list<std::pair<Sha256, Value>>;

  std::size_t most_;
  mutable std::mutex mutex_;
  Order order_;  // the last one asked for first
  std::unordered_map<Sha256, typename Order::iterator, FirstBytes> places_;
};

}  // namespace millrace::gateway
