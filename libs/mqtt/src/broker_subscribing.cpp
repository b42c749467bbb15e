// Broker: SUBSCRIBE and UNSUBSCRIBE. broker.cpp explains the locking.
#include <algorithm>
#include <utility>

#include "broker_tables.hpp"

namespace millrace::mqtt {
namespace {

Qos effective(const Message& message, const Subscription& subscription) {
  return std::min(message.qos, subscription.maximum_qos);
}

}  // namespace

ReasonCode Broker::subscribe(const Session& session, const Subscription& subscription, std::uint32_t subscription_id,
                             TimePoint now) {
  const std::string_view filter = subscription.filter;
  if (!valid_topic_filter(filter)) return ReasonCode::kTopicFilterInvalid;
  if (filter.size() > tables_->limits.maximum_filter_bytes ||
      count_levels(split_filter(filter).filter) > kMaximumLevels) {
    return ReasonCode::kQuotaExceeded;
  }
  ReasonCode answer = ReasonCode::kUnspecifiedError;
  Overflowed overflowed;
  {
    Tables::Exclusive section(tables_->mutex);
    SessionRecord* record = tables_->find(session);
    if (record != nullptr && !record->is_full()) {
      answer = tables_->subscribe(*record, subscription, subscription_id, now, overflowed);
    }
  }
  tables_->end_all(overflowed, now);
  return answer;
}

ReasonCode Broker::Tables::subscribe(SessionRecord& record, const Subscription& subscription, std::uint32_t id,
                                     TimePoint now, Overflowed& overflowed) {
  const bool is_new = !record.subscriptions.contains(subscription.filter);
  if (is_new && (record.subscriptions.size() >= limits.maximum_subscriptions_per_session ||
                 subscriptions >= limits.maximum_subscriptions)) {
    return ReasonCode::kQuotaExceeded;
  }
  const bool shared = is_shared_filter(subscription.filter);
  const bool wants_retained =
      !shared && (subscription.retain_handling == RetainHandling::kSend ||                  // [MQTT-3.3.1-9]
                  (subscription.retain_handling == RetainHandling::kSendIfNew && is_new));  // [MQTT-3.3.1-10]
  std::vector<MessagePtr> messages;
  if (wants_retained && !collect_retained(record, subscription, now, messages)) return ReasonCode::kQuotaExceeded;

  if (is_new && !record.charge.take(subscription_bytes(subscription.filter))) return ReasonCode::kQuotaExceeded;
  put_subscription(record, subscription.filter,
                   {subscription.maximum_qos, subscription.no_local && !shared, subscription.retain_as_published, id});
  for (MessagePtr& message : messages) {
    Delivery delivery{std::move(message), {}, true, {}};
    delivery.qos = effective(*delivery.message, subscription);
    if (id != 0) delivery.subscription_ids.push_back(id);
    switch (record.session->offer(std::move(delivery), now)) {
      case Session::Offer::kQueued:
        delivered.fetch_add(1, std::memory_order_relaxed);
        break;
      case Session::Offer::kDropped:
        dropped_qos0.fetch_add(1, std::memory_order_relaxed);
        break;
      case Session::Offer::kOverflow:
        mark_overflowed(record, overflowed);
        break;
    }
  }
  return static_cast<ReasonCode>(subscription.maximum_qos);
}

/// [MQTT-3.8.4-3]: one subscription for each filter; the new one takes the place of the old.
void Broker::Tables::put_subscription(SessionRecord& record, std::string_view filter,
                                      const SubscriptionOptions& options) {
  if (const auto there = record.subscriptions.find(filter); there != record.subscriptions.end()) {
    TopicTree::replace(there->second, options);
    return;
  }
  Place& place = record.subscriptions.try_emplace(std::string(filter)).first->second;
  tree.add(filter, &record, options, place);
  ++subscriptions;
}

/// The same sum as Session::offer() makes: what fits here fits there, for nobody else puts anything in meanwhile (only
/// the memory that all have in common may still be short: then the session overflows). A subscription whose retained
/// messages have no room is refused as a whole rather than answered with some of them.
bool Broker::Tables::collect_retained(const SessionRecord& record, const Subscription& subscription, TimePoint now,
                                      std::vector<MessagePtr>& out) {
  const Session::Load load = record.session->load();
  std::size_t messages = load.queued + load.in_flight;
  std::size_t bytes = load.bytes;
  bool fits = true;
  retained.match(subscription.filter, now, [&](const RetainedStore::Entry& entry) {
    // [MQTT-3.8.3-3] makes no difference between live and retained messages.
    if (subscription.no_local && entry.publisher == record.session->client_id()) return true;
    const std::size_t part = effective(*entry.message, subscription) == Qos::kAtMostOnce ? 2 : 1;
    ++messages;
    bytes += entry.message->cost();
    fits =
        messages <= (limits.session.maximum_messages + part - 1) / part && bytes <= limits.session.maximum_bytes / part;
    if (fits) out.push_back(entry.message);
    return fits;
  });
  return fits;
}

ReasonCode Broker::unsubscribe(const Session& session, std::string_view filter) {
  if (!valid_topic_filter(filter)) return ReasonCode::kTopicFilterInvalid;
  Tables::Exclusive section(tables_->mutex);
  SessionRecord* record = tables_->find(session);
  if (record == nullptr) return ReasonCode::kNoSubscriptionExisted;
  const auto there = record->subscriptions.find(filter);  // [MQTT-3.10.4-1]: as it was written
  if (there == record->subscriptions.end()) return ReasonCode::kNoSubscriptionExisted;
  tables_->tree.remove(filter, there->second);
  record->subscriptions.erase(there);
  record->charge.give_back(subscription_bytes(filter));
  --tables_->subscriptions;
  return ReasonCode::kSuccess;
}

}  // namespace millrace::mqtt
