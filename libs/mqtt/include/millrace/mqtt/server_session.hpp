// The server's side of one MQTT connection as a state machine without I/O: bytes and `now` in; events, bytes and a
// deadline out. One object per network connection, used by one thread at a time.
//
// The owner's loop:
//   read bytes behind what is left of the last read; then
//     std::string_view input = buffer;
//     for (;;) { Event event = session.next(input, now); if (no event) break; act on it; }
//     keep what is left of `input`; write session.output() and clear it; arm a timer for session.deadline().
// While session.blocked() the session takes nothing from the input: do not read on, call next() again after the
// accept(), refuse() or puback() that it waits for. So the input that is kept is bounded by one read beyond
// options.maximum_packet_size.
// After a Closed event: write what output() holds, then close the connection.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include <millrace/mqtt/packets.hpp>
#include <millrace/mqtt/protocol.hpp>

namespace millrace::mqtt {

struct Frame;
using TimePoint = std::chrono::steady_clock::time_point;

struct ServerOptions {
  /// Whole packet, bytes; announced to version 5 clients.
  std::uint32_t maximum_packet_size = 256 * 1024;
  /// QoS 1 messages in flight. Version 5: announced, more is 0x93. 3.1.1: more is not read (blocked()).
  std::uint16_t receive_maximum = 1024;
  /// Longest topic name, bytes; longer is 0x90. Bounds what topic aliases may keep.
  std::uint16_t maximum_topic_length = 1024;
  /// Topic aliases that a version 5 client may use; 0 = none.
  std::uint16_t topic_alias_maximum = 16;
  /// Upper bound for a version 5 client's keep alive, seconds (announced as Server Keep Alive where it differs from
  /// what the client asked); 0 = as the client asks.
  std::uint16_t keep_alive_maximum_s = 0;
  /// From construction to a whole CONNECT.
  std::chrono::milliseconds connect_timeout{10'000};
};

/// CONNECT has come and is well-formed. Answer with accept() or refuse(). The views are valid until the input buffer
/// changes.
struct ConnectRequested {
  Connect connect;
};

/// A PUBLISH of QoS 0 or 1, its topic alias resolved. QoS 1: answer with puback(publish.packet_id). Valid until the
/// next call of next() or a change of the input buffer.
struct PublishReceived {
  Publish publish;
};

enum class CloseCause : std::uint8_t {
  kClientDisconnect,  ///< DISCONNECT came; reason kDisconnectWithWill asks for the will
  kProtocolError,     ///< the client broke the standard or a limit; reason and rule say what
  kKeepAliveTimeout,  ///< nothing came for one and a half keep alives
  kConnectTimeout,    ///< no whole CONNECT in time
};

/// The connection is over: write the rest of output(), then close it. Comes once, and not after refuse() or
/// disconnect().
struct Closed {
  CloseCause cause{};
  ReasonCode reason = ReasonCode::kSuccess;
  const char* rule = "";  ///< static text beginning with the section number
};

/// monostate: nothing (more bytes needed, blocked or closed).
using Event = std::variant<std::monostate, ConnectRequested, PublishReceived, Closed>;

struct UserProperty {
  std::string_view name;
  std::string_view value;
};

struct AcceptOptions {
  /// Needed when the client sent an empty client id; version 5 clients are told.
  std::string_view assigned_client_id;
};

struct PubackOptions {
  ReasonCode reason = ReasonCode::kSuccess;
  /// Version 5 only; both are left out where the client asked for no problem information (3.1.2.11.7) or where the
  /// packet would be larger than the client's maximum (3.4.2.2.2, 3.4.2.2.3). Such as {"receipt", "3:4711"}.
  std::string_view reason_string;
  std::span<const UserProperty> user_properties;
};

enum class SessionState : std::uint8_t {
  kAwaitingConnect,  ///< nothing but CONNECT may come
  kConnecting,       ///< ConnectRequested is with the owner
  kConnected,
  kClosed,
};

class ServerSession {
 public:
  /// `options` is shared by all connections of a listener and must outlive the session.
  ServerSession(const ServerOptions& options, TimePoint now);
  ~ServerSession();
  ServerSession(ServerSession&&) noexcept;
  ServerSession& operator=(ServerSession&&) noexcept;

  /// Takes whole packets from the front of `input` (which shrinks) until one is an event. Answers by itself: pings,
  /// SUBSCRIBE and UNSUBSCRIBE (refused: 0x80 / 0x87, 0x8F), PUBREC and PUBREL of unknown ids, faults.
  Event next(std::string_view& input, TimePoint now);

  /// When on_timer() is due at the latest: connect timeout or one and a half keep alives; it only moves forward, so a
  /// timer that fires early just asks again. None: no timer needed. Not counted while blocked() (the client cannot be
  /// heard).
  std::optional<TimePoint> deadline() const;
  /// Closed if the deadline has passed, else nothing.
  Event on_timer(TimePoint now);

  /// Bytes to be written, in order. Take them with swap or clear them after writing; the session only appends.
  std::string& output() { return output_; }

  /// Answers ConnectRequested; without effect when the session was closed meanwhile. A version 5 CONNACK says what this
  /// server has: Maximum QoS 1, no retained messages, session expiry 0, and the limits of ServerOptions.
  void accept(TimePoint now, const AcceptOptions& options = {});
  /// CONNACK with a failure (3.1.1: the nearest return code) and the end; without effect when the
  /// session was closed meanwhile.
  void refuse(ReasonCode reason, std::string_view reason_string = {});

  /// Answers one QoS 1 message. PUBACKs leave in the order of the PUBLISHes, so an answer waits for those of earlier
  /// messages; a message that is never answered holds all later ones. A 3.1.1 PUBACK has no reason: with a failure it
  /// says "taken" all the same, so where that would be a lie use disconnect(). False: no message of that id is
  /// unanswered (also after the end of the connection).
  bool puback(std::uint16_t packet_id, const PubackOptions& options = {});

  /// The server ends the connection: DISCONNECT with reason (3.1.1: nothing is sent), state kClosed.
  void disconnect(ReasonCode reason, std::string_view reason_string = {});

  SessionState state() const { return state_; }
  /// True while next() will take nothing: an answer to CONNECT is awaited, 3.1.1 has receive_maximum messages in
  /// flight, or hold() was called.
  bool blocked() const;
  /// The owner's own back-pressure: next() takes nothing until resume().
  void hold();
  void resume(TimePoint now);

  /// From CONNECT; meaningful from ConnectRequested on.
  Version version() const { return version_; }
  /// QoS 1 messages without PUBACK on the wire (those whose answer waits for an earlier one included).
  std::size_t in_flight() const;
  /// PUBLISHes that repeated a packet id in flight: the same message, not given to the owner again.
  std::uint64_t repeated_in_flight() const { return repeated_in_flight_; }

 private:
  class InFlight;

  Event dispatch(const Frame& frame);
  Event on_connect(const Frame& frame);
  Event on_publish(const Frame& frame);
  Fault check_publish(const Publish& publish) const;
  Fault resolve_alias(Publish& publish);
  Event on_subscribe(const Frame& frame);
  Event on_unsubscribe(const Frame& frame);
  Event on_ack(const Frame& frame);
  Event on_disconnect(const Frame& frame);
  Event fail(Fault fault, CloseCause cause = CloseCause::kProtocolError);
  void send_connack_failure(ReasonCode reason, std::string_view reason_string);
  void send_disconnect(ReasonCode reason, std::string_view reason_string);
  void append_puback(std::uint16_t packet_id, const PubackOptions& options, std::string& out) const;
  bool fits_peer(std::size_t packet_size) const;

  const ServerOptions* options_;
  SessionState state_ = SessionState::kAwaitingConnect;
  Version version_ = Version::k311;
  bool held_ = false;
  bool unheard_ = false;  // blocked since the client was last heard: its keep alive does not run
  bool problem_information_ = true;
  bool expiry_asked_ = false;
  bool client_id_missing_ = false;
  std::uint16_t client_keep_alive_s_ = 0;
  std::uint16_t keep_alive_s_ = 0;  // in force
  std::uint32_t peer_maximum_packet_size_ = 0xFFFFFFFF;
  TimePoint last_heard_;
  std::uint64_t repeated_in_flight_ = 0;
  std::string output_;
  std::unique_ptr<InFlight> in_flight_;
  std::unique_ptr<std::string[]> aliases_;
};

}  // namespace millrace::mqtt
