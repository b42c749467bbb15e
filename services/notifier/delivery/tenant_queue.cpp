#include "delivery/tenant_queue.hpp"

#include <algorithm>

namespace millrace::notifier {

TenantQueue::TenantQueue(const QueueRules& rules) : rules_(&rules), pause_(rules.retry_first, rules.retry_most) {}

void TenantQueue::schedule(Lanes::iterator lane, Clock::time_point due) {
  lane->second.due = due;
  due_.emplace(due, lane->first);
}

void TenantQueue::push(Event event, Clock::time_point now) {
  auto lane = lanes_.find(event.alert_key);
  if (lane == lanes_.end()) {
    lane = lanes_.emplace(event.alert_key, Lane{{}, Backoff(rules_->retry_first, rules_->retry_most)}).first;
    schedule(lane, now);
  }
  lane->second.events.push_back(std::move(event));
  ++size_;
}

const Event* TenantQueue::start(Clock::time_point now) {
  if (due_.empty() || now < paused_until_ || in_flight_ >= (down_ ? 1 : rules_->concurrency)) return nullptr;
  if (due_.begin()->first > now) return nullptr;
  Lane& lane = lanes_.find(due_.begin()->second)->second;
  due_.erase(due_.begin());
  lane.in_flight = true;
  ++lane.tries;
  lane.answered_before = answered_;
  ++in_flight_;
  return &lane.events.front();
}

std::optional<Event> TenantQueue::finish(const std::string& alert_key, Verdict verdict,
                                         std::optional<std::chrono::seconds> retry_after, bool give_up,
                                         Clock::time_point now) {
  const auto found = lanes_.find(alert_key);
  if (found == lanes_.end() || !found->second.in_flight) return std::nullopt;
  Lane& lane = found->second;
  lane.in_flight = false;
  --in_flight_;
  const bool others_answered = answered_ != lane.answered_before;
  if (verdict == Verdict::kReceiverDown) {
    receiver_is_down(retry_after, now);
  } else {
    ++answered_;
    down_ = false;
    paused_until_ = {};
    pause_.reset();
  }
  if (give_up || verdict == Verdict::kDelivered || verdict == Verdict::kGiveUp) return pop(found, now);
  // While the receiver is down its pause is enough: when it is back everything is due. But what gets no answer while
  // others do is at fault itself.
  const bool own_fault = verdict == Verdict::kRetry || others_answered;
  schedule(found, own_fault ? std::max(now + lane.backoff.next(), paused_until_) : paused_until_);
  return std::nullopt;
}

// Requests that were under way together fail together: the first one decides.
void TenantQueue::receiver_is_down(std::optional<std::chrono::seconds> retry_after, Clock::time_point now) {
  down_ = true;
  if (now >= paused_until_) paused_until_ = now + pause_.next();
  if (retry_after) paused_until_ = std::max(paused_until_, now + std::min(*retry_after, rules_->retry_after_most));
}

Event TenantQueue::pop(Lanes::iterator lane, Clock::time_point now) {
  Event event = std::move(lane->second.events.front());
  lane->second.events.pop_front();
  --size_;
  if (lane->second.events.empty()) {
    lanes_.erase(lane);
    return event;
  }
  lane->second.backoff.reset();
  lane->second.tries = 0;
  schedule(lane, now);
  return event;
}

bool TenantQueue::is_expired(const Event& event, TimeUs now_us) const {
  return now_us - event.time_us > std::chrono::duration_cast<std::chrono::microseconds>(rules_->max_age).count();
}

std::optional<Event> TenantQueue::take_expired(Clock::time_point now, TimeUs now_us) {
  if (due_.empty() || now < paused_until_ || due_.begin()->first > now) return std::nullopt;
  const auto lane = lanes_.find(due_.begin()->second);
  const bool tried = down_ || lane->second.tries > 0;
  if (!tried || !is_expired(lane->second.events.front(), now_us)) return std::nullopt;
  due_.erase(due_.begin());
  return pop(lane, now);
}

void TenantQueue::drop_partition(std::int32_t partition) {
  for (auto lane = lanes_.begin(); lane != lanes_.end();) {
    std::deque<Event> kept;
    for (Event& event : lane->second.events) {
      const bool under_way = kept.empty() && lane->second.in_flight && &event == &lane->second.events.front();
      if (event.partition != partition || under_way) kept.push_back(std::move(event));
    }
    size_ -= lane->second.events.size() - kept.size();
    lane->second.events = std::move(kept);
    if (!lane->second.events.empty()) {
      ++lane;
      continue;
    }
    due_.erase({lane->second.due, lane->first});
    lane = lanes_.erase(lane);
  }
}

void TenantQueue::receiver_changed(Clock::time_point now) {
  down_ = false;
  paused_until_ = {};
  pause_.reset();
  due_.clear();
  for (auto lane = lanes_.begin(); lane != lanes_.end(); ++lane) {
    lane->second.backoff.reset();
    if (!lane->second.in_flight) schedule(lane, now);
  }
}

std::optional<Clock::time_point> TenantQueue::wake_at() const {
  if (due_.empty() || in_flight_ >= (down_ ? 1 : rules_->concurrency)) return std::nullopt;
  return std::max(due_.begin()->first, paused_until_);
}

}  // namespace millrace::notifier
