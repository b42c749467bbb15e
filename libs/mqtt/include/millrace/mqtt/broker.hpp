// Publish/subscribe inside one process for one name space (a tenant, or the `open` listener): sessions by client id,
// subscriptions, retained messages, wills. No I/O, no clock: `now` comes in, due times go out.
//
// Thread-safe. Every call is one step: after it has returned, nothing comes of what was before. What a call brings
// about for others (wake, end, wills) is called by its thread before it returns, when no lock is held any more; so
// these may call the broker. Where they do, what that brings about is called after them, not inside. They must not
// throw, block or destroy the broker.
//
// Who may do what is decided by the caller before it calls (topic filter ACL, quotas by policy).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/mqtt/message.hpp>
#include <millrace/mqtt/session.hpp>

namespace millrace::mqtt {

struct BrokerLimits {
  SessionLimits session;
  std::size_t maximum_sessions = 100'000;
  std::size_t maximum_sessions_per_owner = 100;  ///< see ConnectSpec::owner
  std::size_t maximum_subscriptions_per_session = 1'000;
  std::size_t maximum_subscriptions = 1'000'000;  ///< asked for; stored sessions bring theirs beyond it
  std::size_t maximum_filter_bytes = 1024;        ///< of one topic filter, which may have 128 levels
  std::size_t maximum_retained_messages = 100'000;
  std::size_t maximum_retained_bytes = 256 * 1024 * 1024;  ///< sum of Message::cost() and of publishers' client ids
};

/// What of a session its owner keeps beyond this process, so that another broker can go on with it.
struct StoredSession {
  struct Subscription {
    std::string filter;
    Qos maximum_qos = Qos::kAtMostOnce;
    bool no_local = false;
    bool retain_as_published = false;
    std::uint32_t subscription_id = 0;  ///< 0 = none
    bool operator==(const Subscription&) const = default;
  };
  std::uint64_t epoch = 0;     ///< of its last connection
  std::uint32_t expiry_s = 0;  ///< seconds that it outlives the connection
  std::vector<Subscription> subscriptions;
  /// Packet ids of QoS 2 messages that were taken from the client and not yet released. Only where the connection
  /// ended.
  std::vector<std::uint16_t> unreleased;
  bool operator==(const StoredSession&) const = default;
};

/// Where wills go when they are due: the owner decides (a topic of `devices/` is ingest, others come back by
/// publish()). The message's expires_at counts from now on.
using WillSink = std::function<void(const std::string& client_id, MessagePtr)>;

/// What a connection asks of the broker when CONNECT has been let in.
struct ConnectSpec {
  std::string client_id;  ///< never empty: an assigned one counts
  /// Who answers for the session (a device, which may have several): its sessions are counted, and what they keep is on
  /// its own share of the broker's memory. Empty: nobody in particular.
  std::string owner;
  bool clean_start = true;
  /// Seconds that the session outlives the connection; 0xFFFFFFFF = for ever (section 3.1.2.11.2). 3.1.1: 0 with clean
  /// session, else for ever.
  std::uint32_t session_expiry_s = 0;
  Session::Link link;
  /// The session is another connection's from now on (DISCONNECT 0x8E), or was ended by the server (its queue
  /// overflowed: 0x97). Called at most once, by the thread that caused it, and not after disconnect(). Nothing else
  /// need be done: the will and the session have been seen to. `why` is a static text.
  std::function<void(ReasonCode, const char* why)> end;
  /// Where several brokers share their clients, each connection of a client has a greater number than all before it:
  /// one with a smaller number than the session's present connection does not get the session. 0: not used.
  std::uint64_t epoch = 0;
  /// The owner keeps sessions for several brokers and says what is there (`stored`; none: no session). A session of
  /// this broker counts if it is that of the stored epoch; another one has gone on elsewhere and is forgotten.
  bool shared = false;
  std::optional<StoredSession> stored;
  MessagePtr will;  ///< null = none; expires_at is set when it is published
  std::uint32_t will_delay_s = 0;
  std::optional<std::uint32_t> will_expiry_s;
  /// Where this will goes; empty: to the broker's sink. Perhaps destroyed with the broker locked: what it owns must not
  /// come back to the broker in its destructor.
  WillSink will_sink;
};

class Broker {
 public:
  using WillSink = mqtt::WillSink;

  /// `wills`: for those that name no sink of their own; may be empty: then these go nowhere. `memory`: for sessions,
  /// subscriptions, queued and retained messages; null: as the other limits allow.
  Broker(BrokerLimits limits, WillSink wills, const std::shared_ptr<MemoryShare>& memory = nullptr);
  /// Publishes no wills and calls no `end`. Sessions may outlive it.
  ~Broker();
  Broker(const Broker&) = delete;
  Broker& operator=(const Broker&) = delete;

  struct Connected {
    std::shared_ptr<Session> session;  ///< null: no room (reason kQuotaExceeded; why), or superseded
    const char* why = "";              ///< which limit it is that leaves no room
    std::size_t most = 0;              ///< sessions, where their number is that limit
    bool superseded = false;           ///< a connection with a greater epoch has the session
    Session::Attachment attachment = 0;
    bool session_present = false;
  };
  /// [MQTT-3.1.4-3] takes over from a live connection of this client id; [MQTT-3.1.2-4..6] clean start. A will that was
  /// waiting for its delay is dropped where the session goes on [MQTT-3.1.3-9], published where it ends. The will of
  /// the connection that was taken over is published where it has no delay or its session ends (section 3.1.3.2.2).
  Connected connect(ConnectSpec spec, TimePoint now);

  struct Goodbye {
    bool publish_will = true;                       ///< false after DISCONNECT with reason 0 [MQTT-3.14.4-3]
    std::optional<std::uint32_t> session_expiry_s;  ///< from DISCONNECT
  };
  struct Left {
    bool ours = false;                  ///< the connection had the session
    std::optional<StoredSession> kept;  ///< the session, if it outlives the connection
  };
  /// The network connection is closed. No effect if another one has the session.
  Left disconnect(const Session& session, Session::Attachment attachment, Goodbye goodbye, TimePoint now);

  /// The session has gone on at another broker with a connection of this epoch: if it is older here, nothing of it is
  /// left. Its will is published where hand-over would do so (no delay, or due); `end` is not called.
  void forget(std::string_view client_id, std::uint64_t newer_epoch, TimePoint now);

  /// The same where no connection has the session; else nothing happens.
  void forget_detached(std::string_view client_id, std::uint64_t newer_epoch, TimePoint now);

  /// What the owner keeps of a session while it is connected; none: it has been ended.
  [[nodiscard]] std::optional<StoredSession> snapshot(const Session& session) const;

  /// One filter of a SUBSCRIBE. Retained messages that match are offered at once as the options say. Answers with the
  /// granted QoS or a failure that changes nothing: kTopicFilterInvalid; kQuotaExceeded for a limit, also where the
  /// session's queue has no room for all retained messages that match; kUnspecifiedError if the session is over.
  /// `subscription_id` 0 = none. No Local on a shared subscription is the decoder's to refuse [MQTT-3.8.3-4].
  ReasonCode subscribe(const Session& session, const Subscription& subscription, std::uint32_t subscription_id,
                       TimePoint now);
  /// kSuccess, kNoSubscriptionExisted or kTopicFilterInvalid.
  ReasonCode unsubscribe(const Session& session, std::string_view filter);

  struct Published {
    /// Sessions (and groups of shared subscriptions) that it was for; 0 = reason kNoMatchingSubscribers. A QoS 0
    /// message may have been dropped there.
    std::size_t matched = 0;
    /// A retained message found no room (or has more than 128 levels): it was not kept, and an earlier one of its topic
    /// is gone too. Reason kQuotaExceeded.
    bool retained_full = false;
  };
  /// Hands the message to every subscriber and keeps it if it is retained. `publisher` (may be null: the server itself)
  /// is for No Local. Messages that one publisher hands in one after another reach each subscriber in that order
  /// [MQTT-4.6.0-5]. A session that has no room for a QoS 1 or 2 message is ended: its connection is told, its state
  /// discarded, its will published.
  Published publish(const MessagePtr& message, const Session* publisher, TimePoint now);

  /// When on_timer() is due at the latest: will delays, session expiry. It changes only by disconnect() (earlier) and
  /// by connect(), publish() and on_timer() (later).
  [[nodiscard]] std::optional<TimePoint> deadline() const;
  void on_timer(TimePoint now);

  struct Counts {
    std::size_t sessions = 0, connected = 0, subscriptions = 0, retained = 0, retained_bytes = 0;
    std::uint64_t published = 0, delivered = 0, dropped_qos0 = 0, sessions_overflowed = 0, sessions_expired = 0;
  };
  [[nodiscard]] Counts counts() const;

 private:
  struct Tables;
  std::unique_ptr<Tables> tables_;
};

}  // namespace millrace::mqtt
