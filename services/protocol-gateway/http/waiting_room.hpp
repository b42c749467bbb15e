#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

namespace millrace::gateway {

/// Memory of requests that wait until it is known who sends them, bounded in all. Thread-safe.
class WaitingRoom {
 public:
  /// Given back when the last copy goes, which may be after the room has.
  using Place = std::shared_ptr<const void>;

  explicit WaitingRoom(std::size_t most_bytes) : most_(most_bytes) {}

  /// Null: there is no room for so many bytes now.
  [[nodiscard]] Place take(std::size_t bytes) {
    std::size_t before = taken_->load();
    do {
      if (bytes > most_ || before > most_ - bytes) return nullptr;
    } while (!taken_->compare_exchange_weak(before, before + bytes));
    return {this, [taken = taken_, bytes](const void* /*room*/) { taken->fetch_sub(bytes); }};
  }

 private:
  std::size_t most_;
  std::shared_ptr<std::atomic<std::size_t>> taken_ = std::make_shared<std::atomic<std::size_t>>(0);
};

}  // namespace millrace::gateway
