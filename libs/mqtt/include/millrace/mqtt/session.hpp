// The Session State of the standard (section 4.1), the server's side: what outlives a network connection. Messages for
// the client, those sent to it and not yet answered, and the QoS 2 messages received from it and not yet released.
//
// Any thread may offer() a message. Everything else belongs to the connection that attach() has let in last; calls with
// the number of an earlier attachment change nothing, so a connection that was taken over can finish in peace on its own
// thread. A mutex inside; nothing blocks for longer than a copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <millrace/mqtt/message.hpp>

namespace millrace::mqtt {

/// Bounds of what one session keeps for its client.
struct SessionLimits {
  std::size_t maximum_messages = 1000;           ///< queued and in flight
  std::size_t maximum_bytes = 4 * 1024 * 1024;   ///< sum of Message::cost() of the same
};

class Session {
 public:
  Session(std::string client_id, SessionLimits limits);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  [[nodiscard]] const std::string& client_id() const;

  // --- the connection ---

  using Attachment = std::uint64_t;  ///< grows with every attach(); 0 = none
  struct Link {
    /// offer() has put something into a queue that next_outgoing() had found empty (or held up). Called by the offering
    /// thread without any lock held; must not block. Typically posts to the connection's thread.
    std::function<void()> wake;
    /// The client's Receive Maximum: QoS 1 and 2 messages sent and not answered (section 3.3.4).
    std::uint16_t receive_maximum = 65535;
  };
  /// The connection takes the session over. What was in flight is sent again, in its old order, before anything new
  /// (section 4.4).
  Attachment attach(Link link);
  /// The connection is gone. QoS 0 messages that wait are dropped. No effect unless `attachment` is the present one.
  void detach(Attachment attachment);
  [[nodiscard]] bool attached() const;

  // --- towards the client ---

  enum class Offer : std::uint8_t {
    kQueued,
    kDropped,   ///< QoS 0, and there is no connection or no room
    kOverflow,  ///< QoS 1 or 2 and no room: a gap must not go unnoticed, so the caller ends this session
  };
  /// Thread-safe.
  Offer offer(Delivery delivery);

  struct Outgoing {
    enum class Kind : std::uint8_t { kNone, kPublish, kPubrel };
    Kind kind = Kind::kNone;
    std::uint16_t packet_id = 0;  ///< 0 for QoS 0
    bool dup = false;
    Delivery delivery;            ///< of kPublish; shares the message
  };
  /// The next thing to send: first what has to be sent again, then the queue as far as the Receive Maximum allows.
  /// Messages that have expired are dropped on the way (section 3.3.2.3.3).
  Outgoing next_outgoing(Attachment attachment, TimePoint now);
  /// The message just taken cannot be sent to this client (larger than its maximum packet size): it counts as done
  /// [MQTT-3.1.2-25]. Frees its packet id.
  void discard_outgoing(Attachment attachment, std::uint16_t packet_id);

  /// What the client answered. False: nothing of that id waits for such a packet (5.0: reason 0x92 where there is an
  /// answer to carry it).
  bool on_puback(Attachment attachment, std::uint16_t packet_id);
  /// A failure ends the exchange (section 4.3.3); success leaves the id waiting for PUBCOMP, and the caller sends PUBREL.
  bool on_pubrec(Attachment attachment, std::uint16_t packet_id, ReasonCode reason);
  bool on_pubcomp(Attachment attachment, std::uint16_t packet_id);

  // --- from the client, QoS 2 (section 4.3.3) ---

  /// The message of this id has been taken and PUBREC said so; a repetition gets PUBREC again and goes no further.
  [[nodiscard]] bool awaits_release(std::uint16_t packet_id) const;
  void take(Attachment attachment, std::uint16_t packet_id);
  /// PUBREL. False: the id is unknown.
  bool release(Attachment attachment, std::uint16_t packet_id);
  /// Ids taken and not released: they count against the server's Receive Maximum.
  [[nodiscard]] std::size_t awaiting_release() const;

  struct Load {
    std::size_t queued = 0;     ///< messages not sent yet
    std::size_t in_flight = 0;  ///< QoS 1 and 2 sent and not answered
    std::size_t bytes = 0;      ///< Message::cost() of both
  };
  [[nodiscard]] Load load() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace millrace::mqtt
