// The Session State of the standard (section 4.1), the server's side: what outlives a network connection. Messages for
// the client, those sent to it and not yet answered, and the QoS 2 messages received from it and not yet released.
//
// Any thread may offer() a message. Everything else belongs to the connection that attach() has let in last; calls with
// the number of an earlier attachment change nothing (the few exceptions say so), so a connection that was taken over
// can finish in peace on its own thread. A mutex inside; nothing blocks for longer than a copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <millrace/mqtt/message.hpp>

namespace millrace::mqtt {

/// Bounds of what one session keeps for its client.
struct SessionLimits {
  std::size_t maximum_messages = 1000;          ///< queued and in flight; QoS 0 gets at most half of it
  std::size_t maximum_bytes = 4 * 1024 * 1024;  ///< sum of Message::cost() of the same; QoS 0 gets at most half of it
};

class Session {
 public:
  /// `memory`: on whose account its queue is, beyond the first few messages (null: nobody's).
  Session(std::string client_id, SessionLimits limits, std::shared_ptr<MemoryShare> memory = nullptr);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  [[nodiscard]] const std::string& client_id() const;
  /// For messages that this client publishes; may be null.
  [[nodiscard]] const std::shared_ptr<MemoryShare>& memory() const;

  // --- the connection ---

  using Attachment = std::uint64_t;  ///< grows with every attach(); 0 = none
  struct Link {
    /// There is something to do that was not there when the connection last asked: a message came into a queue that
    /// next_outgoing() had found empty, or begin_taking() need not wait any more. The connection calls next() and
    /// pump() then. Called by the thread that caused it without any lock held; must not block, and may still come
    /// shortly after detach(), so it must keep alive (or look up) what it touches. Typically posts to the connection's
    /// thread.
    std::function<void()> wake;
    /// The client's Receive Maximum: QoS 1 and 2 messages sent over this connection and not answered (section 3.3.4).
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
  /// Thread-safe. Where there is no room, messages that have expired by `now` make some first.
  Offer offer(Delivery delivery, TimePoint now);

  struct Outgoing {
    enum class Kind : std::uint8_t { kNone, kPublish, kPubrel };
    Kind kind = Kind::kNone;
    std::uint16_t packet_id = 0;  ///< 0 for QoS 0
    bool dup = false;
    Delivery delivery;  ///< of kPublish; shares the message
  };
  /// The next thing to send: first what has to be sent again, then the queue as far as the Receive Maximum allows.
  /// Messages that have expired before they were sent once are dropped on the way (section 3.3.2.3.3). After kNone
  /// there may be more when wake has been called or the client has answered something.
  Outgoing next_outgoing(Attachment attachment, TimePoint now);
  /// The message just taken cannot be sent to this client (larger than its maximum packet size): it counts as done
  /// [MQTT-3.1.2-25]. Frees its packet id.
  void discard_outgoing(Attachment attachment, std::uint16_t packet_id);

  /// What the client answered. False: nothing of that id waits for such a packet (5.0: reason 0x92 where there is an
  /// answer to carry it).
  bool on_puback(Attachment attachment, std::uint16_t packet_id);
  /// A failure ends the exchange (section 4.3.3); success leaves the id waiting for PUBCOMP, and the caller sends
  /// PUBREL (again, where the id waited already).
  bool on_pubrec(Attachment attachment, std::uint16_t packet_id, ReasonCode reason);
  bool on_pubcomp(Attachment attachment, std::uint16_t packet_id);

  // --- from the client, QoS 2 (section 4.3.3) ---

  enum class Taking : std::uint8_t {
    kNew,    ///< pass the message on; take() or abandon() must follow, from whatever connection, also when it is over
    kTaken,  ///< PUBREC has said so already: say it again and pass nothing on
    kUnsettled  ///< an earlier connection has passed it on and does not know the outcome yet (or the session is another
                ///< connection's by now): wait, wake tells
  };
  /// A PUBLISH of QoS 2 has come. Between kNew and take() or abandon() the id is remembered across connections, so that
  /// a client that sends the message again over its next connection does not have it passed on twice [MQTT-4.3.3-10].
  Taking begin_taking(Attachment attachment, std::uint16_t packet_id);
  /// Settles kNew: the message is taken, PUBREC is to say so; the id waits for PUBREL. For every attachment.
  void take(std::uint16_t packet_id);
  /// Settles kNew: the message was not taken; the id is free. For every attachment.
  void abandon(std::uint16_t packet_id);
  /// PUBREL. False: the id does not wait for it.
  bool release(Attachment attachment, std::uint16_t packet_id);
  /// Ids taken and not released.
  [[nodiscard]] std::size_t awaiting_release() const;
  /// The same ids, in rising order, at most `most` of them.
  [[nodiscard]] std::vector<std::uint16_t> unreleased(std::size_t most) const;

  struct Load {
    std::size_t queued = 0;     ///< messages not sent yet
    std::size_t in_flight = 0;  ///< QoS 1 and 2 sent and not answered
    std::size_t bytes = 0;      ///< Message::cost() of both, as far as the message is still needed
  };
  [[nodiscard]] Load load() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace millrace::mqtt
