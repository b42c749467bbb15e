#pragma once

#include <mutex>
#include <utility>

namespace millrace::cli {

/// What a test and the threads of a fake service tell each other.
template <typename Value>
class Said {
 public:
  void set(Value value) {
    const std::lock_guard lock(mutex_);
    value_ = std::move(value);
  }
  template <typename Change>
  void change(Change change) {
    const std::lock_guard lock(mutex_);
    change(value_);
  }
  [[nodiscard]] Value get() const {
    const std::lock_guard lock(mutex_);
    return value_;
  }

 private:
  mutable std::mutex mutex_;
  Value value_;
};

}  // namespace millrace::cli
