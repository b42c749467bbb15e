#include "in_flight.hpp"

#include <utility>

namespace millrace::mqtt {

std::size_t ServerConnection::InFlight::find(std::uint16_t packet_id) const {
  if (slots_.empty()) return 0;
  for (std::size_t slot = home(packet_id); slots_[slot] != kEmpty; slot = (slot + 1) & slot_mask()) {
    if (ring_[slots_[slot]].packet_id == packet_id) return slot;
  }
  return slots_.size();
}

bool ServerConnection::InFlight::contains(std::uint16_t packet_id) const { return find(packet_id) != slots_.size(); }

void ServerConnection::InFlight::insert(std::uint16_t packet_id, std::uint32_t index) {
  std::size_t slot = home(packet_id);
  while (slots_[slot] != kEmpty) slot = (slot + 1) & slot_mask();
  slots_[slot] = index;
}

void ServerConnection::InFlight::erase(std::uint16_t packet_id) {
  std::size_t hole = find(packet_id);
  // Entries behind the hole move up unless that would put them before their home slot.
  for (std::size_t slot = (hole + 1) & slot_mask(); slots_[slot] != kEmpty; slot = (slot + 1) & slot_mask()) {
    const std::size_t wanted = home(ring_[slots_[slot]].packet_id);
    if (((slot - wanted) & slot_mask()) >= ((slot - hole) & slot_mask())) {
      slots_[hole] = slots_[slot];
      hole = slot;
    }
  }
  slots_[hole] = kEmpty;
}

void ServerConnection::InFlight::grow() {
  std::vector<Entry> ring(ring_.empty() ? 16 : 2 * ring_.size());
  for (std::size_t i = 0; i < count_; ++i) ring[i] = std::move(ring_[(head_ + i) & (ring_.size() - 1)]);
  ring_ = std::move(ring);
  head_ = 0;
  slots_.assign(2 * ring_.size(), kEmpty);
  for (std::size_t i = 0; i < count_; ++i) insert(ring_[i].packet_id, static_cast<std::uint32_t>(i));
}

void ServerConnection::InFlight::push(std::uint16_t packet_id, Qos qos) {
  if (count_ == ring_.size()) grow();
  const std::size_t index = (head_ + count_) & (ring_.size() - 1);
  Entry& entry = ring_[index];
  entry.packet_id = packet_id;
  entry.qos = qos;
  entry.answered = false;
  insert(packet_id, static_cast<std::uint32_t>(index));
  ++count_;
}

ServerConnection::InFlight::Found ServerConnection::InFlight::find_unanswered(std::uint16_t packet_id) const {
  const std::size_t slot = find(packet_id);
  if (slot == slots_.size()) return {};
  const Entry& entry = ring_[slots_[slot]];
  if (entry.answered) return {};
  return {slots_[slot] == head_ ? Place::kFirst : Place::kLater, entry.qos};
}

void ServerConnection::InFlight::drop_first() {
  const Entry& entry = ring_[head_];
  if (entry.after == After::kPubrel) {
    if (!unreleased_) unreleased_ = std::make_unique<PacketIdSet>();
    unreleased_->insert(entry.packet_id);
  }
  erase(entry.packet_id);
  head_ = (head_ + 1) & (ring_.size() - 1);
  --count_;
}

void ServerConnection::InFlight::pop_first(After after, std::string& out) {
  ring_[head_].after = after;
  drop_first();
  while (count_ != 0 && ring_[head_].answered) {
    out.append(ring_[head_].held);
    ring_[head_].held = {};
    drop_first();
  }
}

void ServerConnection::InFlight::hold(std::uint16_t packet_id, After after, std::string answer) {
  Entry& entry = ring_[slots_[find(packet_id)]];
  entry.answered = true;
  entry.after = after;
  entry.held = std::move(answer);
}

void ServerConnection::InFlight::released(std::uint16_t packet_id) {
  if (unreleased_ && unreleased_->erase(packet_id) && unreleased_->size() == 0) unreleased_.reset();
}

}  // namespace millrace::mqtt
