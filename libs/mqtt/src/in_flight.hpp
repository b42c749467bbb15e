// The QoS 1 messages of one connection that have no PUBACK on the wire yet, in the order in which they came.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <millrace/mqtt/server_session.hpp>

namespace millrace::mqtt {

/// A ring of messages in arrival order, and a hash table from packet id to place in the ring (linear probing, at most
/// half full). Everything is O(1); memory grows with the messages in flight and is not taken before the first.
class ServerSession::InFlight {
 public:
  std::size_t size() const { return count_; }
  bool contains(std::uint16_t packet_id) const;
  /// Precondition: not contains(packet_id).
  void push(std::uint16_t packet_id);

  enum class Place : std::uint8_t { kUnknown, kFirst, kLater };
  /// Where an unanswered message stands: first means that its PUBACK may leave now.
  Place place(std::uint16_t packet_id) const;
  /// Precondition: place() is kFirst. Drops the message, then appends the held PUBACKs that no longer wait.
  void pop_first(std::string& out);
  /// Precondition: place() is kLater. Keeps the encoded PUBACK until all before it are answered.
  void hold(std::uint16_t packet_id, std::string puback);

 private:
  struct Entry {
    std::uint16_t packet_id = 0;
    bool answered = false;
    std::string held;
  };

  static constexpr std::uint32_t kEmpty = 0xFFFFFFFF;

  std::size_t home(std::uint16_t packet_id) const { return (packet_id * 0x9E3779B1U >> 8) & slot_mask(); }
  std::size_t slot_mask() const { return slots_.size() - 1; }
  std::size_t find(std::uint16_t packet_id) const;  // slot, or slots_.size()
  void insert(std::uint16_t packet_id, std::uint32_t index);
  void erase(std::uint16_t packet_id);
  void grow();
  void drop_first();

  std::vector<Entry> ring_;           // a power of two
  std::vector<std::uint32_t> slots_;  // twice that; an index into ring_ or kEmpty
  std::size_t head_ = 0;
  std::size_t count_ = 0;
};

}  // namespace millrace::mqtt
