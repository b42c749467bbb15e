#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace millrace::registry_view {

/// A multimap from a 32-bit tag to a 32-bit handle in 8 bytes an entry: open addressing, linear probing, deletion by
/// shifting back. Equal tags are told apart by whoever looks behind the handle. Not thread-safe.
class HandleTable {
 public:
  static constexpr std::uint32_t kNoHandle = 0xffffffffU;

  void insert(std::uint32_t tag, std::uint32_t handle) {
    if ((size_ + 1) * 4 > entries_.size() * 3) grow();
    std::size_t at = home(tag);
    while (entries_[at].handle != kNoHandle) at = next(at);
    entries_[at] = {tag, handle};
    ++size_;
  }

  /// Removes one entry with this tag and handle; false if there is none.
  bool erase(std::uint32_t tag, std::uint32_t handle) {
    if (entries_.empty()) return false;
    std::size_t at = home(tag);
    while (entries_[at].handle != kNoHandle) {
      if (entries_[at].tag == tag && entries_[at].handle == handle) {
        close_gap(at);
        --size_;
        return true;
      }
      at = next(at);
    }
    return false;
  }

  /// Calls `match(handle)` for each entry of the tag until it returns true; returns that handle or kNoHandle.
  template <typename Match>
  [[nodiscard]] std::uint32_t find(std::uint32_t tag, Match match) const {
    if (entries_.empty()) return kNoHandle;
    for (std::size_t at = home(tag); entries_[at].handle != kNoHandle; at = next(at)) {
      if (entries_[at].tag == tag && match(entries_[at].handle)) return entries_[at].handle;
    }
    return kNoHandle;
  }

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::size_t bytes() const { return entries_.capacity() * sizeof(Entry); }

 private:
  struct Entry {
    std::uint32_t tag = 0;
    std::uint32_t handle = kNoHandle;
  };

  [[nodiscard]] std::size_t home(std::uint32_t tag) const {
    return static_cast<std::size_t>((tag * 0x9e3779b97f4a7c15ULL) >> 32) & (entries_.size() - 1);
  }
  [[nodiscard]] std::size_t next(std::size_t at) const { return (at + 1) & (entries_.size() - 1); }

  void close_gap(std::size_t gap) {
    for (std::size_t at = next(gap); entries_[at].handle != kNoHandle; at = next(at)) {
      // An entry may move into the gap unless its home lies (cyclically) behind the gap.
      const std::size_t from_home = (at - home(entries_[at].tag)) & (entries_.size() - 1);
      const std::size_t from_gap = (at - gap) & (entries_.size() - 1);
      if (from_home < from_gap) continue;
      entries_[gap] = entries_[at];
      gap = at;
    }
    entries_[gap] = Entry{};
  }

  void grow() {
    std::vector<Entry> old(entries_.empty() ? 16 : entries_.size() * 2);
    old.swap(entries_);
    for (const Entry& entry : old) {
      if (entry.handle == kNoHandle) continue;
      std::size_t at = home(entry.tag);
      while (entries_[at].handle != kNoHandle) at = next(at);
      entries_[at] = entry;
    }
  }

  std::vector<Entry> entries_;
  std::size_t size_ = 0;
};

}  // namespace millrace::registry_view
