// Publish/subscribe inside one process for one name space (a tenant, or the `open` listener): sessions by client id,
// subscriptions, retained messages, wills. No I/O, no clock: `now` comes in, due times go out. Thread-safe: one mutex
// around the tables, none held while a Session's wake or a Sink is called.
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

#include <millrace/mqtt/message.hpp>
#include <millrace/mqtt/session.hpp>

namespace millrace::mqtt {

struct BrokerLimits {
  SessionLimits session;
  std::size_t maximum_sessions = 100'000;
  std::size_t maximum_subscriptions_per_session = 1'000;
  std::size_t maximum_retained_messages = 100'000;
  std::size_t maximum_retained_bytes = 256 * 1024 * 1024;
};

/// What a connection asks of the broker when CONNECT has been let in.
struct ConnectSpec {
  std::string client_id;   ///< never empty: an assigned one counts
  bool clean_start = true;
  /// Seconds that the session outlives the connection; 0xFFFFFFFF = for ever (section 3.1.2.11.2). 3.1.1: 0 with clean
  /// session, else for ever.
  std::uint32_t session_expiry_s = 0;
  Session::Link link;
  /// The session is another connection's from now on (DISCONNECT 0x8E), or was ended by the server (its queue overflowed:
  /// 0x97). Called by the thread that caused it, without a lock; must not block.
  std::function<void(ReasonCode, const char* why)> end;
  MessagePtr will;         ///< null = none; expires_at is set when it is published
  std::uint32_t will_delay_s = 0;
  std::optional<std::uint32_t> will_expiry_s;
};

class Broker {
 public:
  /// Where wills go when they are due: the owner decides (a topic of `devices/` is ingest, others come back by publish()).
  using WillSink = std::function<void(const std::string& client_id, MessagePtr)>;

  Broker(BrokerLimits limits, WillSink wills);
  ~Broker();
  Broker(const Broker&) = delete;
  Broker& operator=(const Broker&) = delete;

  struct Connected {
    std::shared_ptr<Session> session;  ///< null: no room (reason kQuotaExceeded)
    Session::Attachment attachment = 0;
    bool session_present = false;
  };
  /// [MQTT-3.1.4-3] takes over from a live connection of this client id; [MQTT-3.1.2-4..6] clean start. A will that was
  /// waiting for its delay is dropped where the session goes on [MQTT-3.1.3-9], published where it ends.
  Connected connect(ConnectSpec spec, TimePoint now);

  struct Goodbye {
    bool publish_will = true;  ///< false after DISCONNECT with reason 0 [MQTT-3.14.4-3]
    std::optional<std::uint32_t> session_expiry_s;  ///< from DISCONNECT
  };
  /// The network connection is closed. No effect if another one has the session.
  void disconnect(const Session& session, Session::Attachment attachment, Goodbye goodbye, TimePoint now);

  /// One filter of a SUBSCRIBE. Retained messages that match are offered at once as the options say. Answers with the
  /// granted QoS or a failure. `subscription_id` 0 = none.
  ReasonCode subscribe(const Session& session, const Subscription& subscription, std::uint32_t subscription_id,
                       TimePoint now);
  /// kSuccess or kNoSubscriptionExisted.
  ReasonCode unsubscribe(const Session& session, std::string_view filter);

  struct Published {
    std::size_t matched = 0;  ///< sessions that it went to; 0 = reason kNoMatchingSubscribers
    bool retained_full = false;  ///< a retained message that found no room was not kept: reason kQuotaExceeded
  };
  /// Hands the message to every subscriber and keeps it if it is retained. `publisher` (may be null: the server itself) is
  /// for No Local.
  Published publish(const MessagePtr& message, const Session* publisher, TimePoint now);

  /// When on_timer() is due at the latest: will delays, session expiry.
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
