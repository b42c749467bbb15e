// What a Broker knows of one session besides the Session itself. Guarded by the broker's tables.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>

#include <millrace/mqtt/session.hpp>

#include "afterwards.hpp"
#include "topic_tree.hpp"

namespace millrace::mqtt {

struct PendingWill {
  MessagePtr message;
  MemoryCharge charge;
  std::uint32_t delay_s = 0;
  std::optional<std::uint32_t> expiry_s;
  WillSink sink;  ///< empty: the broker's
};

struct SessionRecord {
  std::shared_ptr<Session> session;
  std::string owner;
  MemoryCharge charge;                 ///< of the record and of the subscriptions
  Session::Attachment attachment = 0;  ///< 0 = no connection
  std::uint64_t epoch = 0;             ///< of the last connection
  std::uint32_t expiry_s = 0;
  std::function<void(ReasonCode, const char*)> end;  ///< of the connection, as wake is
  Wake wake;
  std::optional<PendingWill> will;
  std::optional<TimePoint> will_due;     ///< only without a connection
  std::optional<TimePoint> session_due;  ///< likewise
  StringMap<Place> subscriptions;        ///< by the filter as the client wrote it
  /// A message found no room: nothing more goes in, and the session is about to be ended. Set by publishers, who hold
  /// the tables for reading only.
  std::atomic<bool> overflowed{false};

  bool connected() const { return attachment != 0; }
  bool is_full() const { return overflowed.load(std::memory_order_relaxed); }
};

/// Sessions to be ended because a message found no room.
using Overflowed = std::vector<std::shared_ptr<Session>>;

inline void mark_overflowed(SessionRecord& record, Overflowed& overflowed) {
  if (!record.overflowed.exchange(true, std::memory_order_relaxed)) overflowed.push_back(record.session);
}

}  // namespace millrace::mqtt
