#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include <millrace/base/backoff.hpp>

#include "delivery/event.hpp"
#include "delivery/retry.hpp"

namespace millrace::notifier {

using Clock = std::chrono::steady_clock;

struct QueueRules {
  std::size_t concurrency = 4;  ///< requests to one receiver at once
  std::chrono::milliseconds retry_first{1'000};
  std::chrono::milliseconds retry_most{300'000};
  std::chrono::seconds retry_after_most{3'600};  ///< a longer Retry-After is cut to it
  std::chrono::seconds max_age{86'400};          ///< no further try of an event that is older
};

/// The events of one tenant that are in memory, and what is known of its receiver. Pure: no clock, no I/O. Each alert
/// key is a lane of its own with at most one request under way, so an event never overtakes one before it, and one that
/// fails holds up its own key only. A receiver that is down gets one request at a time, further and further apart.
class TenantQueue {
 public:
  explicit TenantQueue(const QueueRules& rules);

  void push(Event event, Clock::time_point now);

  /// Starts the event that is due longest; nullptr: none now. The event stays in place until finish(). The pointer
  /// is valid until the next call.
  [[nodiscard]] const Event* start(Clock::time_point now);

  /// Ends the request of the key's first event: nullopt if it will be tried again, else it is removed and returned.
  /// `give_up` ends it whatever the verdict.
  [[nodiscard]] std::optional<Event> finish(const std::string& alert_key, Verdict verdict,
                                            std::optional<std::chrono::seconds> retry_after, bool give_up,
                                            Clock::time_point now);

  /// Removes the event that start() would give, if it is too old. Each is tried at least once, unless the receiver is
  /// known to be down.
  [[nodiscard]] std::optional<Event> take_expired(Clock::time_point now, TimeUs now_us);
  [[nodiscard]] bool is_expired(const Event& event, TimeUs now_us) const;

  /// Removes a partition's events, except those under way.
  void drop_partition(std::int32_t partition);

  /// Forgets what was known of the receiver: it is another one now.
  void receiver_changed(Clock::time_point now);

  /// When start() may have something again; nullopt: not before the next push() or finish().
  [[nodiscard]] std::optional<Clock::time_point> wake_at() const;

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::size_t in_flight() const { return in_flight_; }
  [[nodiscard]] bool is_down() const { return down_; }

 private:
  struct Lane {
    std::deque<Event> events;
    Backoff backoff;
    Clock::time_point due{};
    bool in_flight = false;
    int tries = 0;                      // of the first event
    std::uint64_t answered_before = 0;  // answered_ when its last try began
  };
  using Lanes = std::map<std::string, Lane, std::less<>>;

  void receiver_is_down(std::optional<std::chrono::seconds> retry_after, Clock::time_point now);
  void schedule(Lanes::iterator lane, Clock::time_point due);
  [[nodiscard]] Event pop(Lanes::iterator lane, Clock::time_point now);

  const QueueRules* rules_;
  Lanes lanes_;
  std::set<std::pair<Clock::time_point, std::string>> due_;  // lanes without a request under way
  std::size_t size_ = 0;
  std::size_t in_flight_ = 0;
  bool down_ = false;
  Clock::time_point paused_until_{};
  Backoff pause_;
  std::uint64_t answered_ = 0;  // requests that the receiver answered
};

}  // namespace millrace::notifier
