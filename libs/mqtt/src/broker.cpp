// Locking. One mutex (TableMutex) guards all tables. publish() of a message that is not retained holds it shared, so
// publishers do not wait for each other; everything that changes a table holds it exclusively. A call holds it from its
// first look to its last Session::offer(), which makes every call one step in one order:
//   - Messages of one publisher reach each subscriber in the order of its calls, whatever thread they come from
//     [MQTT-4.6.0-5]; a retained message that answers SUBSCRIBE cannot come after a newer one of its topic, and two
//     publishers of one retained topic are seen by everybody in the order in which the store has seen them.
//   - After unsubscribe(), connect() or disconnect() has returned, nothing more comes of what was before.
// Locks are taken in the order tables, Session; a Session knows nothing of the tables.
//
// No callback runs with the tables held: wakes (a wrapper around the connection's own, see attach()), `end` and wills
// are put on a list of the thread (afterwards.hpp) and called when the tables are free. So each of them may call the
// broker. Nor is a connection's closure destroyed with the tables held, for the same reason.
//
// A publisher that finds a session's queue full may not end it (it holds the tables shared): it sets `overflowed`,
// after which nobody puts anything into that session, and ends it as soon as it has let go. A CONNECT that comes in
// between sees the flag and ends the session itself, so it can never be gone on with.
#include <algorithm>
#include <utility>

#include <millrace/mqtt/broker.hpp>

#include "broker_tables.hpp"
#include "routing.hpp"

namespace millrace::mqtt {
namespace {

constexpr std::uint32_t kForEver = 0xFFFFFFFF;  // section 3.1.2.11.2
/// Of one session, in what its owner keeps: three bytes each. More than a client may have in flight by default.
constexpr std::size_t kMostUnreleased = 8192;
/// What a session costs with an empty queue and no subscriptions, about.
constexpr std::size_t kSessionBytes = 1024;
constexpr const char* kNoMemory = "the device keeps as many sessions and messages here as there is room for";

TimePoint after_seconds(TimePoint now, std::uint32_t seconds) { return now + std::chrono::seconds(seconds); }

}  // namespace

Broker::Broker(BrokerLimits limits, WillSink wills, const std::shared_ptr<MemoryShare>& memory)
    : tables_(std::make_unique<Tables>(limits, std::move(wills), memory)) {}
Broker::~Broker() = default;

SessionRecord* Broker::Tables::find(std::string_view client_id) const {
  const auto found = sessions.find(client_id);
  return found == sessions.end() ? nullptr : found->second.get();
}

SessionRecord* Broker::Tables::find(const Session& session) const {
  SessionRecord* record = find(session.client_id());
  return record != nullptr && record->session.get() == &session ? record : nullptr;
}

Broker::Connected Broker::connect(ConnectSpec spec, TimePoint now) {
  Tables::Exclusive section(tables_->mutex);
  Connected connected;
  if (const SessionRecord* before = tables_->find(spec.client_id);
      before != nullptr && before->connected() && before->epoch > spec.epoch) {
    connected.superseded = true;
    return connected;
  }
  SessionRecord* record = tables_->open(spec, now, section.after, connected);
  if (record == nullptr) return connected;
  tables_->attach(*record, std::move(spec));
  connected.session = record->session;
  connected.attachment = record->attachment;
  return connected;
}

SessionRecord* Broker::Tables::open(const ConnectSpec& spec, TimePoint now, Afterwards& after, Connected& answer) {
  SessionRecord* record = find(spec.client_id);
  if (record != nullptr && spec.shared && (!spec.stored || spec.stored->epoch != record->epoch) &&
      !(record->connected() && record->expiry_s == 0)) {
    forget(*record, now, after);
    record = nullptr;
  }
  const bool ends_here = record != nullptr;  // or goes on below: what is stored is of the same session
  if (record != nullptr) {
    if (record->is_full()) {
      end_overflowed(*record, now, after);
    } else if (record->session_due && *record->session_due <= now) {
      end_expired(*record, now, after);  // the timer is late
    } else if (spec.clean_start || record->expiry_s == 0) {
      // [MQTT-3.1.2-4]; and a session that lasts as long as its connection ends with it.
      end(*record, {ReasonCode::kSessionTakenOver, "3.1.4 another connection has this client id"}, now, after);
    } else {
      hand_over(*record, now, after);
      answer.session_present = true;
      return record;
    }
  }
  record = make(spec, answer);
  if (record != nullptr && spec.stored && !spec.clean_start && !ends_here) {
    restore(*record, *spec.stored);
    answer.session_present = true;
  }
  return record;
}

SessionRecord* Broker::Tables::make(const ConnectSpec& spec, Connected& answer) {
  if (sessions.size() >= limits.maximum_sessions) {
    answer.why = "there are as many sessions as the tenant may have";
    answer.most = limits.maximum_sessions;
    return nullptr;
  }
  if (owners.sessions_of(spec.owner) >= limits.maximum_sessions_per_owner) {
    answer.why = "there are as many sessions as the device may have";
    answer.most = limits.maximum_sessions_per_owner;
    return nullptr;
  }
  auto made = std::make_unique<SessionRecord>();
  made->owner = spec.owner;
  made->charge = MemoryCharge(owners.share_of(spec.owner));
  if (!made->charge.take(kSessionBytes)) {
    answer.why = kNoMemory;
    return nullptr;
  }
  made->session = std::make_shared<Session>(spec.client_id, limits.session, made->charge.share());
  owners.add_session(spec.owner);
  return sessions.emplace(spec.client_id, std::move(made)).first->second.get();
}

void Broker::Tables::restore(SessionRecord& record, const StoredSession& stored) {
  for (const StoredSession::Subscription& one : stored.subscriptions) {
    record.charge.take_anyway(subscription_bytes(one.filter));
    put_subscription(record, one.filter, {one.maximum_qos, one.no_local, one.retain_as_published, one.subscription_id});
  }
  for (const std::uint16_t id : stored.unreleased) record.session->take(id);
}

StoredSession Broker::Tables::store(const SessionRecord& record) {
  StoredSession stored;
  stored.epoch = record.epoch;
  stored.expiry_s = record.expiry_s;
  for (const auto& [filter, place] : record.subscriptions) {
    const SubscriptionOptions options = TopicTree::options(place);
    stored.subscriptions.push_back(
        {filter, options.maximum_qos, options.no_local, options.retain_as_published, options.id});
  }
  return stored;
}

void Broker::Tables::forget(SessionRecord& record, TimePoint now, Afterwards& after) {
  const bool due = record.connected() ? record.will && record.will->delay_s == 0 : record.will_due <= now;
  if (record.will && due) publish_will(record, now, after);
  record.will.reset();
  end(record, {ReasonCode::kSessionTakenOver, "3.1.4 another connection has this client id"}, now, after);
}

void Broker::forget(std::string_view client_id, std::uint64_t newer_epoch, TimePoint now) {
  Tables::Exclusive section(tables_->mutex);
  SessionRecord* record = tables_->find(client_id);
  if (record == nullptr || record->epoch >= newer_epoch) return;
  record->end = nullptr;  // a connection that is left hears of it from its owner
  tables_->forget(*record, now, section.after);
}

void Broker::forget_detached(std::string_view client_id, std::uint64_t newer_epoch, TimePoint now) {
  {
    Tables::Shared section(tables_->mutex);  // the usual case: it never was here
    if (tables_->find(client_id) == nullptr) return;
  }
  Tables::Exclusive section(tables_->mutex);
  SessionRecord* record = tables_->find(client_id);
  if (record == nullptr || record->connected() || record->epoch >= newer_epoch) return;
  tables_->forget(*record, now, section.after);
}

std::optional<StoredSession> Broker::snapshot(const Session& session) const {
  Tables::Shared section(tables_->mutex);
  const SessionRecord* record = tables_->find(session);
  if (record == nullptr) return std::nullopt;
  return Tables::store(*record);
}

/// The session goes on [MQTT-3.1.2-5]. The connection that has it is closed [MQTT-3.1.4-3], and so is its will's
/// business (3.1.3.2.2): published where it has no delay, dropped where it would still wait [MQTT-3.1.3-9].
void Broker::Tables::hand_over(SessionRecord& record, TimePoint now, Afterwards& after) {
  const bool due = record.connected() ? record.will && record.will->delay_s == 0 : record.will_due <= now;
  if (record.will && due) publish_will(record, now, after);
  record.will.reset();
  schedule(record, std::nullopt, std::nullopt);
  if (!record.connected()) return;
  after.endings.push_back({std::exchange(record.end, nullptr), ReasonCode::kSessionTakenOver,
                           "3.1.4 another connection has this client id", std::exchange(record.wake, nullptr),
                           record.session});
  record.attachment = 0;
  --connected;
}

void Broker::Tables::attach(SessionRecord& record, ConnectSpec&& spec) {
  record.epoch = spec.epoch;
  record.expiry_s = spec.session_expiry_s;
  record.end = std::move(spec.end);
  if (spec.will) {
    PendingWill will{std::move(spec.will), MemoryCharge(record.session->memory()), spec.will_delay_s,
                     spec.will_expiry_s, std::move(spec.will_sink)};
    will.charge.take_anyway(will.message->cost());  // one for each connection, and those are counted
    record.will = std::move(will);
  }
  if (spec.link.wake) {
    record.wake = std::make_shared<const std::function<void()>>(std::move(spec.link.wake));
    spec.link.wake = [wake = record.wake] { Afterwards::of_this_thread().wake(wake); };
  }
  record.attachment = record.session->attach(std::move(spec.link));
  ++connected;
}

void Broker::Tables::let_go(SessionRecord& record, std::optional<Reason> reason, Afterwards& after) {
  record.session->detach(record.attachment);
  record.attachment = 0;
  --connected;
  Ending ending{std::exchange(record.end, nullptr), std::nullopt, "", std::exchange(record.wake, nullptr),
                record.session};
  if (reason) {
    ending.reason = reason->code;
    ending.why = reason->why;
  }
  after.endings.push_back(std::move(ending));
}

void Broker::Tables::end(SessionRecord& record, Reason reason, TimePoint now, Afterwards& after) {
  for (const auto& [filter, place] : record.subscriptions) tree.remove(filter, place);
  subscriptions -= record.subscriptions.size();
  if (record.connected()) {
    let_go(record, reason, after);
  } else {
    after.endings.push_back({nullptr, std::nullopt, "", nullptr, record.session});  // frees the queue without a lock
  }
  publish_will(record, now, after);
  schedule(record, std::nullopt, std::nullopt);
  const std::string owner = std::move(record.owner);
  sessions.erase(sessions.find(record.session->client_id()));
  owners.remove_session(owner);
}

void Broker::Tables::end_overflowed(SessionRecord& record, TimePoint now, Afterwards& after) {
  ++sessions_overflowed;
  end(record, {ReasonCode::kQuotaExceeded, "the session's queue of messages is full"}, now, after);
}

void Broker::Tables::end_expired(SessionRecord& record, TimePoint now, Afterwards& after) {
  ++sessions_expired;
  end(record, {}, now, after);
}

void Broker::Tables::end_all(const Overflowed& overflowed, TimePoint now) {
  if (overflowed.empty()) return;
  Exclusive section(mutex);
  for (const auto& session : overflowed) {
    if (SessionRecord* record = find(*session)) end_overflowed(*record, now, section.after);
  }
}

void Broker::Tables::publish_will(SessionRecord& record, TimePoint now, Afterwards& after) const {
  if (!record.will) return;
  std::optional<PendingWill> will = std::exchange(record.will, std::nullopt);  // [MQTT-3.1.2-10]
  if (!will->sink) will->sink = sink;
  if (!will->sink) return;
  Message message = *will->message;
  message.expires_at.reset();
  if (will->expiry_s) message.expires_at = after_seconds(now, *will->expiry_s);
  after.wills.push_back(
      {std::move(will->sink), record.session->client_id(), keep_anyway(std::move(message), record.session->memory())});
}

void Broker::Tables::schedule(SessionRecord& record, std::optional<TimePoint> will_due,
                              std::optional<TimePoint> session_due) {
  const auto due = [&] {
    return std::min(record.will_due.value_or(TimePoint::max()), record.session_due.value_or(TimePoint::max()));
  };
  if (record.will_due || record.session_due) timers.erase({due(), &record});
  record.will_due = will_due;
  record.session_due = session_due;
  if (will_due || session_due) timers.emplace(due(), &record);
}

Broker::Left Broker::disconnect(const Session& session, Session::Attachment attachment, Goodbye goodbye,
                                TimePoint now) {
  Tables::Exclusive section(tables_->mutex);
  SessionRecord* record = tables_->find(session);
  if (record == nullptr || attachment == 0 || record->attachment != attachment) return {};
  Left left;
  left.ours = true;
  if (!goodbye.publish_will) record->will.reset();  // [MQTT-3.14.4-3]
  if (goodbye.session_expiry_s) record->expiry_s = *goodbye.session_expiry_s;
  tables_->let_go(*record, std::nullopt, section.after);
  if (record->is_full()) {
    tables_->end_overflowed(*record, now, section.after);
    return left;
  }
  if (record->expiry_s == 0) {
    tables_->end(*record, {}, now, section.after);
    return left;
  }
  left.kept = Tables::store(*record);
  left.kept->unreleased = record->session->unreleased(kMostUnreleased);
  if (record->will && record->will->delay_s == 0) tables_->publish_will(*record, now, section.after);
  std::optional<TimePoint> will_due;
  std::optional<TimePoint> session_due;
  if (record->will) will_due = after_seconds(now, record->will->delay_s);
  if (record->expiry_s != kForEver) session_due = after_seconds(now, record->expiry_s);
  tables_->schedule(*record, will_due, session_due);
  return left;
}

std::optional<TimePoint> Broker::deadline() const {
  Tables::Shared section(tables_->mutex);
  if (tables_->timers.empty()) return std::nullopt;
  return tables_->timers.begin()->first;
}

void Broker::on_timer(TimePoint now) {
  Tables::Exclusive section(tables_->mutex);
  tables_->retained.drop_expired(now);
  while (!tables_->timers.empty() && tables_->timers.begin()->first <= now) {
    SessionRecord& record = *tables_->timers.begin()->second;
    if (record.session_due && *record.session_due <= now) {
      tables_->end_expired(record, now, section.after);  // [MQTT-4.1.0-2]
    } else {
      tables_->publish_will(record, now, section.after);
      tables_->schedule(record, std::nullopt, record.session_due);
    }
  }
}

Broker::Published Broker::publish(const MessagePtr& message, const Session* publisher, TimePoint now) {
  Published published;
  Routing routing(message, publisher, now);
  if (message->retain) {
    Tables::Exclusive section(tables_->mutex);
    const std::string_view from = publisher != nullptr ? std::string_view(publisher->client_id()) : std::string_view();
    published.retained_full = !tables_->retained.store(message, from, now);
    routing.run(tables_->tree);
  } else {
    Tables::Shared section(tables_->mutex);  // [MQTT-3.3.1-8]: nothing is stored, nothing removed
    routing.run(tables_->tree);
  }
  const auto add = [](std::atomic<std::uint64_t>& counter, std::size_t n) {
    if (n != 0) counter.fetch_add(n, std::memory_order_relaxed);
  };
  add(tables_->published, 1);
  add(tables_->delivered, routing.delivered);
  add(tables_->dropped_qos0, routing.dropped_qos0);
  tables_->end_all(routing.overflowed, now);
  published.matched = routing.matched;
  return published;
}

Broker::Counts Broker::counts() const {
  Tables::Shared section(tables_->mutex);
  Counts counts;
  counts.sessions = tables_->sessions.size();
  counts.connected = tables_->connected;
  counts.subscriptions = tables_->subscriptions;
  counts.retained = tables_->retained.size();
  counts.retained_bytes = tables_->retained.bytes();
  counts.published = tables_->published.load(std::memory_order_relaxed);
  counts.delivered = tables_->delivered.load(std::memory_order_relaxed);
  counts.dropped_qos0 = tables_->dropped_qos0.load(std::memory_order_relaxed);
  counts.sessions_overflowed = tables_->sessions_overflowed;
  counts.sessions_expired = tables_->sessions_expired;
  return counts;
}

}  // namespace millrace::mqtt
