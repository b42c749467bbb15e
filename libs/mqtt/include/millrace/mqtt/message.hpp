// An application message on its way to subscribers. Built once from a PUBLISH (or a will), then shared by everybody who
// gets it: immutable, so it may be read by any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <millrace/mqtt/memory_share.hpp>
#include <millrace/mqtt/packets.hpp>
#include <millrace/mqtt/protocol.hpp>

namespace millrace::mqtt {

using TimePoint = std::chrono::steady_clock::time_point;

struct Message {
  std::string topic;
  std::string payload;
  /// The properties that a server passes on unaltered (section 3.3.2.3: payload format indicator, content type,
  /// response topic, correlation data, user properties in their order), as on the wire. Empty from 3.1.1 clients.
  std::string properties;
  Qos qos = Qos::kAtMostOnce;
  bool retain = false;
  /// When the message expires (section 3.3.2.3.3); what is left then goes out as the receiver's interval.
  std::optional<TimePoint> expires_at;

  /// What it costs to keep, in bytes: the measure of every bound on queues.
  [[nodiscard]] std::size_t cost() const { return sizeof(Message) + topic.size() + payload.size() + properties.size(); }
};
using MessagePtr = std::shared_ptr<const Message>;

/// Copies what outlives the packet; `now` starts the message expiry interval. The topic alias must be resolved.
[[nodiscard]] MessagePtr make_message(const Publish& publish, TimePoint now);
/// The same on the account of `share` (null: of nobody) for as long as anybody has it. Null: there is no room.
[[nodiscard]] MessagePtr make_message(const Publish& publish, TimePoint now, std::shared_ptr<MemoryShare> share);
/// A copy that is charged to `share` though there may be no room.
[[nodiscard]] MessagePtr keep_anyway(Message message, std::shared_ptr<MemoryShare> share);
/// The will as the message that it becomes; `now` is the time at which it is published.
[[nodiscard]] MessagePtr make_message(const Will& will, TimePoint now);

/// One message for one subscriber.
struct Delivery {
  MessagePtr message;
  Qos qos = Qos::kAtMostOnce;  ///< the smaller of the message's and the subscription's
  bool retain = false;         ///< the flag that the subscriber sees (section 3.3.1.3)
  /// Of every subscription that matched and has one (section 3.3.4).
  std::vector<std::uint32_t> subscription_ids;
};

}  // namespace millrace::mqtt
