// A set of packet identifiers: O(1), at most 8 KiB however many a client uses.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace millrace::mqtt {

/// Bits in pages that are made when they are needed: ids in use are usually neighbours. An empty set owns nothing but
/// the pages it once had; drop the whole set to free them.
class PacketIdSet {
 public:
  bool contains(std::uint16_t id) const {
    const Page* page = pages_[id / kPageBits].get();
    return page != nullptr && ((*page)[word(id)] & bit(id)) != 0;
  }
  /// False: it was there already.
  bool insert(std::uint16_t id) {
    auto& page = pages_[id / kPageBits];
    if (!page) page = std::make_unique<Page>();
    std::uint64_t& bits = (*page)[word(id)];
    if ((bits & bit(id)) != 0) return false;
    bits |= bit(id);
    ++size_;
    return true;
  }
  /// False: it was not there.
  bool erase(std::uint16_t id) {
    if (!contains(id)) return false;
    (*pages_[id / kPageBits])[word(id)] &= ~bit(id);
    --size_;
    return true;
  }
  std::size_t size() const { return size_; }

 private:
  static constexpr std::size_t kPageBits = 4096;
  using Page = std::array<std::uint64_t, kPageBits / 64>;

  static std::size_t word(std::uint16_t id) { return (id % kPageBits) / 64; }
  static std::uint64_t bit(std::uint16_t id) { return std::uint64_t{1} << (id % 64); }

  std::array<std::unique_ptr<Page>, 65536 / kPageBits> pages_;
  std::size_t size_ = 0;
};

}  // namespace millrace::mqtt
