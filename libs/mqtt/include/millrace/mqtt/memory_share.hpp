// A bound on the memory that many may fill together: the sessions, subscriptions, queued and retained messages of all
// tenants of a process. Shares form a tree (process, tenant, device), and every share may grow until it has as much as
// is still free above it:
//
//   free(root) = limit - used(root)        free(share) = free(parent) - used(share)
//   taking n is allowed where used(share) + n <= free(parent), for the share and for all above it
//
// So one that takes all it can gets half of its parent (of a tenant alone in the process: half of it; of its only
// device: a third), many get equal parts, and there is always something left for who comes next. The rule is that of
// "dynamic queue length thresholds for shared-memory packet switches" (Choudhury and Hahne, IEEE/ACM Transactions on
// Networking 6(2), 1998) with alpha = 1, by levels.
//
// Thread-safe without locks. Two who take at once near the bound may both be refused; the bound itself always holds.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace millrace::mqtt {

class MemoryShare {
 public:
  /// The root.
  explicit MemoryShare(std::size_t limit_bytes) : limit_(limit_bytes) {}
  /// A part of `parent`, which it keeps alive.
  explicit MemoryShare(std::shared_ptr<MemoryShare> parent) : parent_(std::move(parent)) {}
  MemoryShare(const MemoryShare&) = delete;
  MemoryShare& operator=(const MemoryShare&) = delete;
  ~MemoryShare() = default;

  /// False: there is no room here or above, and nothing has changed (but for the count of refusals of the root).
  [[nodiscard]] bool take(std::size_t bytes) noexcept {
    add(bytes);
    if (fits()) return true;
    give_back(bytes);
    root().refused_.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  /// For what exists already and cannot be refused any more.
  void take_anyway(std::size_t bytes) noexcept { add(bytes); }
  void give_back(std::size_t bytes) noexcept {
    for (MemoryShare* share = this; share != nullptr; share = share->parent_.get()) {
      share->used_.fetch_sub(bytes, std::memory_order_relaxed);
    }
  }

  [[nodiscard]] std::size_t used() const noexcept { return used_.load(std::memory_order_relaxed); }
  /// How often take() has said no, of all shares of this root.
  [[nodiscard]] std::uint64_t refused() noexcept { return root().refused_.load(std::memory_order_relaxed); }

 private:
  MemoryShare& root() noexcept {
    MemoryShare* share = this;
    while (share->parent_) share = share->parent_.get();
    return *share;
  }
  void add(std::size_t bytes) noexcept {
    for (MemoryShare* share = this; share != nullptr; share = share->parent_.get()) {
      share->used_.fetch_add(bytes, std::memory_order_relaxed);
    }
  }
  /// Signed: what was taken anyway may exceed every bound.
  [[nodiscard]] std::int64_t free() const noexcept {
    const auto mine = static_cast<std::int64_t>(used());
    return (parent_ ? parent_->free() : static_cast<std::int64_t>(limit_)) - mine;
  }
  /// After add(): what was added is in every sum, so used(share) <= free(parent) means that free(share) is not
  /// negative.
  [[nodiscard]] bool fits() const noexcept { return free() >= 0; }

  const std::shared_ptr<MemoryShare> parent_;
  const std::size_t limit_ = 0;  // of the root
  std::atomic<std::size_t> used_{0};
  std::atomic<std::uint64_t> refused_{0};  // at the root
};

/// Bytes taken from a share, given back at the end. Without a share it stands for nothing and every take() succeeds.
class MemoryCharge {
 public:
  explicit MemoryCharge(std::shared_ptr<MemoryShare> share = nullptr) : share_(std::move(share)) {}
  MemoryCharge(MemoryCharge&& other) noexcept
      : share_(std::move(other.share_)), bytes_(std::exchange(other.bytes_, 0)) {}
  MemoryCharge& operator=(MemoryCharge&& other) noexcept {
    std::swap(share_, other.share_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  MemoryCharge(const MemoryCharge&) = delete;
  MemoryCharge& operator=(const MemoryCharge&) = delete;
  ~MemoryCharge() { give_back(bytes_); }

  [[nodiscard]] bool take(std::size_t bytes) noexcept {
    if (share_ && !share_->take(bytes)) return false;
    bytes_ += bytes;
    return true;
  }
  void take_anyway(std::size_t bytes) noexcept {
    if (share_) share_->take_anyway(bytes);
    bytes_ += bytes;
  }
  /// Precondition: not more than was taken.
  void give_back(std::size_t bytes) noexcept {
    bytes_ -= bytes;
    if (share_ && bytes != 0) share_->give_back(bytes);
  }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] const std::shared_ptr<MemoryShare>& share() const noexcept { return share_; }

 private:
  std::shared_ptr<MemoryShare> share_;
  std::size_t bytes_ = 0;
};

}  // namespace millrace::mqtt
