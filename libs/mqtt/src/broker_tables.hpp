// What a Broker knows. broker.cpp explains the locking.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <utility>

#include <millrace/mqtt/broker.hpp>

#include "afterwards.hpp"
#include "owners.hpp"
#include "retained_store.hpp"
#include "session_record.hpp"
#include "table_mutex.hpp"
#include "topic_tree.hpp"

namespace millrace::mqtt {

struct Broker::Tables {
  using Exclusive = Section<std::unique_lock<TableMutex>>;
  using Shared = Section<std::shared_lock<TableMutex>>;

  Tables(BrokerLimits wanted, WillSink wills, const std::shared_ptr<MemoryShare>& memory)
      : limits(wanted),
        sink(std::move(wills)),
        owners(memory),
        retained({wanted.maximum_retained_messages, wanted.maximum_retained_bytes}, memory) {}

  const BrokerLimits limits;
  const WillSink sink;

  mutable TableMutex mutex;
  Owners owners;
  StringMap<std::unique_ptr<SessionRecord>> sessions;
  TopicTree tree;
  RetainedStore retained;
  std::set<std::pair<TimePoint, SessionRecord*>> timers;  // an offline session's next due time, if it has any
  std::size_t connected = 0;
  std::size_t subscriptions = 0;
  std::uint64_t sessions_overflowed = 0;
  std::uint64_t sessions_expired = 0;
  // Counted by publishers, who have the tables for reading only.
  std::atomic<std::uint64_t> published{0};
  std::atomic<std::uint64_t> delivered{0};
  std::atomic<std::uint64_t> dropped_qos0{0};

  // Everything below is called with the tables held: exclusively, or, where it is const, at least shared.

  /// Null: that session has been ended.
  SessionRecord* find(const Session& session) const;
  SessionRecord* find(std::string_view client_id) const;

  /// Told to a connection that loses its session.
  struct Reason {
    ReasonCode code = ReasonCode::kSuccess;
    const char* why = "";
  };
  /// The session of a CONNECT: the old one where it goes on, else a new one; null = no room (`answer.why`).
  SessionRecord* open(const ConnectSpec& spec, TimePoint now, Afterwards& after, Connected& answer);
  /// Null: there is no room, and `answer` says why.
  SessionRecord* make(const ConnectSpec& spec, Connected& answer);
  void hand_over(SessionRecord& record, TimePoint now, Afterwards& after);
  /// The session as its owner keeps it.
  void restore(SessionRecord& record, const StoredSession& stored);
  [[nodiscard]] static StoredSession store(const SessionRecord& record);
  /// Nothing is left of the session here: it goes on elsewhere, with its will.
  void forget(SessionRecord& record, TimePoint now, Afterwards& after);
  void attach(SessionRecord& record, ConnectSpec&& spec);
  void let_go(SessionRecord& record, std::optional<Reason> reason, Afterwards& after);
  /// Discards the session; its will, if one is left, is published. The record is gone then.
  void end(SessionRecord& record, Reason reason, TimePoint now, Afterwards& after);
  void end_overflowed(SessionRecord& record, TimePoint now, Afterwards& after);
  void end_expired(SessionRecord& record, TimePoint now, Afterwards& after);
  void publish_will(SessionRecord& record, TimePoint now, Afterwards& after) const;
  void schedule(SessionRecord& record, std::optional<TimePoint> will_due, std::optional<TimePoint> session_due);

  ReasonCode subscribe(SessionRecord& record, const Subscription& subscription, std::uint32_t id, TimePoint now,
                       Overflowed& overflowed);
  /// Its memory has been taken.
  void put_subscription(SessionRecord& record, std::string_view filter, const SubscriptionOptions& options);
  /// Retained messages of a subscription, and whether the session has room for all of them.
  bool collect_retained(const SessionRecord& record, const Subscription& subscription, TimePoint now,
                        std::vector<MessagePtr>& out);

  /// With nothing held: ends those that are still there.
  void end_all(const Overflowed& overflowed, TimePoint now);
};

}  // namespace millrace::mqtt
