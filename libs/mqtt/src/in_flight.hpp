// The QoS 1 and 2 messages of one connection that have no PUBACK or PUBREC on the wire yet, in the order in which they
// came; and the QoS 2 messages that came over it and wait for PUBREL. Together they count against the Receive Maximum.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <millrace/mqtt/server_connection.hpp>

#include "packet_id_set.hpp"

namespace millrace::mqtt {

/// A ring of messages in arrival order, and a hash table from packet id to place in the ring (linear probing, at most
/// half full). Everything is O(1); memory grows with the messages in flight and is not taken before the first.
class ServerConnection::InFlight {
 public:
  /// Messages without an answer on the wire.
  std::size_t size() const { return count_; }
  /// What counts against the Receive Maximum (section 3.3.4).
  std::size_t counted() const { return count_ + (unreleased_ ? unreleased_->size() : 0); }
  bool contains(std::uint16_t packet_id) const;
  /// Precondition: not contains(packet_id).
  void push(std::uint16_t packet_id, Qos qos);

  enum class Place : std::uint8_t { kUnknown, kFirst, kLater };
  struct Found {
    Place place = Place::kUnknown;
    Qos qos = Qos::kAtMostOnce;
  };
  /// Where an unanswered message stands: first means that its answer may leave now.
  Found find_unanswered(std::uint16_t packet_id) const;

  enum class After : std::uint8_t { kNothing, kPubrel };  // what the client sends when it has the answer
  /// Precondition: the message is first and its answer was appended to `out`. Drops the message, then appends the held
  /// answers that no longer wait.
  void pop_first(After after, std::string& out);
  /// Precondition: the message is a later one. Keeps the encoded answer until all before it are answered.
  void hold(std::uint16_t packet_id, After after, std::string answer);
  /// PUBREL has come.
  void released(std::uint16_t packet_id);

  /// Calls f(packet_id) for each QoS 2 message without an answer.
  template <typename F>
  void for_each_unanswered_qos2(F&& f) {
    for (std::size_t i = 0; i < count_; ++i) {
      const Entry& entry = ring_[(head_ + i) & (ring_.size() - 1)];
      if (!entry.answered && entry.qos == Qos::kExactlyOnce) f(entry.packet_id);
    }
  }

 private:
  struct Entry {
    std::uint16_t packet_id = 0;
    Qos qos = Qos::kAtMostOnce;
    bool answered = false;
    After after = After::kNothing;
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
  std::unique_ptr<PacketIdSet> unreleased_;
};

}  // namespace millrace::mqtt
