// One message to everybody who has subscribed to it.
#pragma once

#include <cstddef>
#include <span>

#include "session_record.hpp"
#include "topic_tree.hpp"

namespace millrace::mqtt {

/// Used while the tables are held, shared or exclusively; many threads may route at once.
class Routing {
 public:
  /// `publisher` may be null. Both references must outlive the object.
  Routing(const MessagePtr& message, const Session* publisher, TimePoint now)
      : message_(message), publisher_(publisher), now_(now) {}

  void run(const TopicTree& tree);

  std::size_t matched = 0;    ///< ordinary: sessions; shared: groups
  std::size_t delivered = 0;  ///< went into a session's queue
  std::size_t dropped_qos0 = 0;
  Overflowed overflowed;

 private:
  bool is_local(const Subscriber& subscriber) const;
  void to_subscribers(std::span<const Subscriber> subscribers);
  void to_merged(std::span<const FilterEntry* const> entries);
  void to_group(const ShareGroup& group);
  void deliver(SessionRecord& record, const SubscriptionOptions& options, std::vector<std::uint32_t> ids);
  Session::Offer offer(SessionRecord& record, const SubscriptionOptions& options, std::vector<std::uint32_t> ids) const;

  const MessagePtr& message_;
  const Session* publisher_;
  TimePoint now_;
};

}  // namespace millrace::mqtt
