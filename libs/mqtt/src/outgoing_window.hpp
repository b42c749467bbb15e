// The QoS 1 and 2 messages that a session has sent and that are not answered, in the order in which they were sent.
#pragma once

#include <cstddef>
#include <cstdint>

#include <millrace/mqtt/message.hpp>

#include "ring.hpp"

namespace millrace::mqtt {

/// Packet ids are given in turn (1 to 65,535, then 1 again), so an id's place in the ring is its distance from the
/// first one: no search. Answers out of order leave holes, which go when those before them are answered; an id is not
/// given again before that. Not thread-safe.
class OutgoingWindow {
 public:
  enum class Phase : std::uint8_t { kDone, kPuback, kPubrec, kPubcomp };  // what the client's next answer is
  struct Entry {
    Phase phase = Phase::kDone;
    bool sent_here = false;  ///< sent over the present connection
    bool counted = false;    ///< against the Receive Maximum of the present connection
    Delivery delivery;       ///< of kPuback and kPubrec
  };

  bool full() const { return entries_.size() == kIds; }
  std::size_t unanswered() const { return unanswered_; }
  /// Precondition: not full(). The new entry's id.
  std::uint16_t push(Entry entry) {
    const std::uint16_t id = id_at(entries_.size());
    entries_.push(std::move(entry));
    ++unanswered_;
    return id;
  }
  /// Null: no such id waits for an answer.
  Entry* find(std::uint16_t id) {
    const std::size_t index = (id + kIds - first_id_) % kIds;
    if (id == 0 || index >= entries_.size() || entries_[index].phase == Phase::kDone) return nullptr;
    return &entries_[index];
  }
  void finish(Entry& entry) {
    entry = Entry{};
    --unanswered_;
    while (!entries_.empty() && entries_.front().phase == Phase::kDone) {
      entries_.pop();
      first_id_ = first_id_ == kIds ? std::uint16_t{1} : static_cast<std::uint16_t>(first_id_ + 1);
      if (again_ > 0) --again_;
    }
  }

  /// A new connection: everything is to be sent again.
  void begin_again() {
    again_ = 0;
    for (std::size_t i = 0; i < entries_.size(); ++i) entries_[i].sent_here = entries_[i].counted = false;
  }
  /// The oldest entry that is still to be sent again, or null; its id.
  Entry* next_again(std::uint16_t& id) {
    for (; again_ < entries_.size(); ++again_) {
      Entry& entry = entries_[again_];
      if (entry.phase == Phase::kDone || entry.sent_here) continue;
      id = id_at(again_);
      return &entry;
    }
    return nullptr;
  }

 private:
  static constexpr std::size_t kIds = 65'535;

  std::uint16_t id_at(std::size_t index) const {
    return static_cast<std::uint16_t>((first_id_ - 1U + index) % kIds + 1);
  }

  Ring<Entry> entries_;
  std::uint16_t first_id_ = 1;
  std::size_t unanswered_ = 0;
  std::size_t again_ = 0;  // all before it need not be sent again
};

}  // namespace millrace::mqtt
