#pragma once

#include <array>
#include <cstring>
#include <string_view>
#include <vector>

#include <millrace/base/digest.hpp>

namespace millrace::cli {

/// Which devices were met, in 16 bytes each and the room of an open table (32 to 64 bytes): half of a SHA-256, but for
/// one bit, stands for the id, so two ids that are taken for one another do not happen. Each can be marked once.
class DeviceSet {
 public:
  /// False: it is in there already.
  bool insert(std::string_view device) {
    if ((size_ + 1) * 2 > entries_.size()) grow();
    const Entry entry = entry_of(device);
    Entry& place = entries_[place_of(entries_, entry)];
    if (is_used(place)) return false;
    place = entry;
    ++size_;
    return true;
  }

  [[nodiscard]] bool contains(std::string_view device) const {
    if (entries_.empty()) return false;
    return is_used(entries_[place_of(entries_, entry_of(device))]);
  }

  enum class Mark { kAbsent, kFirst, kAgain };
  /// Marks a device that is in there; says whether it was marked before.
  Mark mark(std::string_view device) {
    if (entries_.empty()) return Mark::kAbsent;
    Entry& place = entries_[place_of(entries_, entry_of(device))];
    if (!is_used(place)) return Mark::kAbsent;
    const bool again = (place[1] & kMarked) != 0;
    place[1] |= kMarked;
    return again ? Mark::kAgain : Mark::kFirst;
  }

  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  using Entry = std::array<std::uint64_t, 2>;  // zeros: free
  static constexpr std::uint64_t kMarked = 1;  // in the second half

  static bool is_used(const Entry& entry) { return entry != Entry{}; }
  static bool same_device(const Entry& a, const Entry& b) { return a[0] == b[0] && ((a[1] ^ b[1]) & ~kMarked) == 0; }

  static Entry entry_of(std::string_view device) {
    const Sha256 digest = sha256(device);
    Entry entry{};
    std::memcpy(entry.data(), digest.data(), sizeof entry);
    entry[1] &= ~kMarked;
    return entry;
  }

  // Where it is, or the free place for it.
  static std::size_t place_of(const std::vector<Entry>& entries, const Entry& entry) {
    std::size_t at = entry[0] & (entries.size() - 1);
    while (is_used(entries[at]) && !same_device(entries[at], entry)) at = (at + 1) & (entries.size() - 1);
    return at;
  }

  void grow() {
    std::vector<Entry> larger(entries_.empty() ? 1024 : entries_.size() * 2);
    for (const Entry& entry : entries_) {
      if (is_used(entry)) larger[place_of(larger, entry)] = entry;
    }
    entries_ = std::move(larger);
  }

  std::vector<Entry> entries_;
  std::size_t size_ = 0;
};

}  // namespace millrace::cli
