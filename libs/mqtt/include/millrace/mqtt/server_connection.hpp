// The server's side of one MQTT connection as a state machine without I/O: bytes and `now` in; events, bytes and a
// deadline out. One object per network connection, used by one thread at a time. What outlives the connection is in the
// Session that accept() is given.
//
// The owner's loop:
//   read bytes behind what is left of the last read; then
//     std::string_view input = buffer;
//     for (;;) { Event event = connection.next(input, now); if (no event) break; act on it; }
//     keep what is left of `input`; connection.pump(now);
//     write connection.output() and clear it; arm a timer for connection.deadline().
// When a write has ended, pump() again as long as it says that something is left. When the session's wake comes, do the
// same as after a read without bytes.
// While blocked() the connection takes nothing from the input: do not read on, call next() again after the accept(),
// refuse(), acknowledge(), suback(), unsuback() or wake that it waits for. So the input that is kept is bounded by one
// read beyond options.maximum_packet_size.
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
#include <millrace/mqtt/session.hpp>

namespace millrace::mqtt {

struct Frame;

struct ServerOptions {
  /// Whole packet, bytes; announced to version 5 clients.
  std::uint32_t maximum_packet_size = 256 * 1024;
  /// QoS 1 and 2 messages from the client in flight (section 3.3.4). Version 5: announced, more is 0x93. 3.1.1: while
  /// as many wait for the owner's answer, no more is read (blocked()).
  std::uint16_t receive_maximum = 1024;
  /// Longest topic name, bytes; longer is 0x90. Bounds what topic aliases may keep.
  std::uint16_t maximum_topic_length = 1024;
  /// Topic aliases that a version 5 client may use; 0 = none.
  std::uint16_t topic_alias_maximum = 16;
  /// Topic aliases that are used towards a version 5 client which takes as many; 0 = none.
  std::uint16_t outgoing_topic_aliases = 8;
  /// pump() adds no message to an output() of at least this size, bytes.
  std::size_t output_bound = 64 * 1024;
  /// Upper bound for a version 5 client's keep alive, seconds (announced as Server Keep Alive where it differs from
  /// what the client asked); 0 = as the client asks.
  std::uint16_t keep_alive_maximum_s = 0;
  /// From construction to a whole CONNECT.
  std::chrono::milliseconds connect_timeout{10'000};
};

/// Session expiry interval of a session that never expires, seconds (section 3.1.2.11.2).
inline constexpr std::uint32_t kNeverExpires = 0xFFFFFFFF;

/// CONNECT has come and is well-formed. Answer with accept() or refuse(). The views are valid until the input buffer
/// changes.
struct ConnectRequested {
  Connect connect;
  /// What the client asks for, seconds. 3.1.1: 0 with clean session, else kNeverExpires (section 3.1.2.11.2).
  std::uint32_t session_expiry_s = 0;
  /// For Session::Link. 3.1.1 clients cannot say.
  std::uint16_t receive_maximum = 65535;
};

/// A PUBLISH, its topic alias resolved. QoS 1 and 2: answer with acknowledge(publish.packet_id). Comes once for each
/// message: repetitions of an id that is in flight are answered here. Valid until the next call of next() or a change
/// of the input buffer.
struct PublishReceived {
  Publish publish;
};

/// A SUBSCRIBE within what was offered. Answer with suback(subscribe.packet_id): blocked() until then. The filters are
/// UTF-8 strings of at least one character; whether they are topic filters (valid_topic_filter()) is for the answer.
/// Valid until the next call of next() or a change of the input buffer.
struct SubscribeRequested {
  Subscribe subscribe;
  std::uint32_t subscription_id = 0;  ///< of all its filters (section 3.8.2.1.2); 0 = none
};

/// As SubscribeRequested, with unsuback().
struct UnsubscribeRequested {
  Unsubscribe unsubscribe;
};

enum class CloseCause : std::uint8_t {
  kClientDisconnect,  ///< DISCONNECT came; reason kSuccess means: no will (section 3.1.2.5). Others keep it
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
  /// From DISCONNECT: replaces what CONNECT asked for (section 3.14.2.2.2).
  std::optional<std::uint32_t> session_expiry_s = std::nullopt;
};

/// monostate: nothing (more bytes needed, blocked or closed).
using Event =
    std::variant<std::monostate, ConnectRequested, PublishReceived, SubscribeRequested, UnsubscribeRequested, Closed>;

struct UserProperty {
  std::string_view name;
  std::string_view value;
};

/// What this client may use. Version 5 is told in CONNACK what is restricted (section 3.2.2.3); use of it ends the
/// connection. 3.1.1 cannot be told: a QoS above the maximum ends the connection, all else is the owner's to refuse.
struct Offers {
  Qos maximum_qos = Qos::kExactlyOnce;  ///< of PUBLISH and will; subscriptions may ask for more
  bool retain = true;
  bool wildcard_subscriptions = true;
  bool subscription_ids = true;
  bool shared_subscriptions = true;
};

/// [MQTT-3.2.2-12], [MQTT-3.2.2-13]: a version 5 client's will beyond what is offered. To be asked before the session
/// is attached, so that such a CONNECT takes nothing over; answer with refuse(fault.code, fault.rule).
[[nodiscard]] Fault check_will(const Connect& connect, const Offers& offers);

struct AcceptOptions {
  bool session_present = false;
  /// What a client that sent no client id is told as its own [MQTT-3.2.2-16]. Empty: the session's, which an owner may
  /// have made longer than the client's own to keep name spaces apart.
  std::string_view assigned_client_id = {};
  /// Granted; the client is told where it asked for something else. None: as asked.
  std::optional<std::uint32_t> session_expiry_s;
  Offers offers;
};

/// Texts for version 5. Both are left out where the client asked for no problem information [MQTT-3.1.2-29] or where
/// the packet would be larger than the client's maximum. The string is cut at 1024 bytes.
struct Explanation {
  std::string_view reason_string;
  std::span<const UserProperty> user_properties;
};

struct AckOptions {
  ReasonCode reason = ReasonCode::kSuccess;
  /// As Explanation; such as {"receipt", "3:4711"}.
  std::string_view reason_string;
  std::span<const UserProperty> user_properties;
};

enum class ConnectionState : std::uint8_t {
  kAwaitingConnect,  ///< nothing but CONNECT may come
  kConnecting,       ///< ConnectRequested is with the owner
  kConnected,
  kClosed,
};

class ServerConnection {
 public:
  /// `options` is shared by all connections of a listener and must outlive the connection.
  ServerConnection(const ServerOptions& options, TimePoint now);
  /// QoS 2 messages that were never answered are abandoned: sent again, they come as new. Does not detach the session.
  ~ServerConnection();
  ServerConnection(const ServerConnection&) = delete;
  ServerConnection& operator=(const ServerConnection&) = delete;

  /// Takes whole packets from the front of `input` (which shrinks) until one is an event. Answers by itself: pings,
  /// PUBREC and PUBREL, repetitions, faults.
  Event next(std::string_view& input, TimePoint now);

  /// When on_timer() is due at the latest: connect timeout or one and a half keep alives; it only moves forward, so a
  /// timer that fires early just asks again. None: no timer needed. Not counted while blocked() (the client cannot be
  /// heard).
  std::optional<TimePoint> deadline() const;
  /// Closed if the deadline has passed, else nothing.
  Event on_timer(TimePoint now);

  /// Bytes to be written, in order. Take them with swap or clear them after writing; the connection only appends.
  std::string& output() { return output_; }

  /// Answers ConnectRequested. From here on `session`, attached for this connection as `attachment`, is where messages
  /// for the client come from (pump()) and where QoS 2 is remembered. Null throws std::invalid_argument. A version 5
  /// CONNACK also says the limits of ServerOptions. False: the connection is over (write output() and close): it was
  /// closed meanwhile, or it takes no packet as large as CONNACK [MQTT-3.1.2-24]. Does not repeat check_will().
  [[nodiscard]] bool accept(TimePoint now, std::shared_ptr<Session> session, Session::Attachment attachment,
                            const AcceptOptions& options = {});
  /// CONNACK with a failure (3.1.1: the nearest return code) and the end; without effect when the
  /// connection was closed meanwhile. The texts as Explanation has them.
  void refuse(ReasonCode reason, std::string_view reason_string = {},
              std::span<const UserProperty> user_properties = {});

  /// Answers one QoS 1 or 2 message with PUBACK or PUBREC. They leave in the order of the PUBLISHes (section
  /// 4.6), so an answer waits for those of earlier messages; a message that is never answered holds all later
  /// ones. 3.1.1 has no reason: with a failure it says "taken" all the same, so where that would be a lie use
  /// disconnect(). False: no message of that id is unanswered, or the connection is over. QoS 2 is to be answered even
  /// then: the session learns the outcome, and the client that sends the message again over its next connection waits
  /// for it.
  bool acknowledge(std::uint16_t packet_id, const AckOptions& options = {});

  /// Answers SubscribeRequested: one code per filter in their order (granted QoS or failure; missing ones are sent as
  /// kUnspecifiedError, as are those that SUBACK has not). False: no SUBSCRIBE of that id waits.
  bool suback(std::uint16_t packet_id, std::span<const ReasonCode> codes, const Explanation& explanation = {});
  /// Answers UnsubscribeRequested likewise; 3.1.1 is told no codes.
  bool unsuback(std::uint16_t packet_id, std::span<const ReasonCode> codes, const Explanation& explanation = {});

  /// Moves what the session has for the client into output(), as far as the client's Receive Maximum and
  /// options.output_bound allow. Call it after accept(), after every round of next(), on the session's wake and when
  /// output() was written. True: the bound was met, so call it again when output() has been written.
  bool pump(TimePoint now);

  /// The server ends the connection: DISCONNECT with reason (3.1.1: nothing is sent), state kClosed.
  /// `server_reference`: where else to go (section 3.14.2.2.5); empty: nothing is said.
  void disconnect(ReasonCode reason, std::string_view reason_string = {}, std::string_view server_reference = {});

  ConnectionState state() const { return state_; }
  /// True while next() takes nothing: an answer to CONNECT, SUBSCRIBE or UNSUBSCRIBE is awaited, 3.1.1 has
  /// receive_maximum unanswered messages, a QoS 2 message is a repetition of one that an earlier connection has not
  /// settled, or hold() was called.
  bool blocked() const;
  /// The owner's own back-pressure: next() takes nothing until resume().
  void hold();
  void resume(TimePoint now);

  /// From CONNECT; meaningful from ConnectRequested on.
  Version version() const { return version_; }
  /// QoS 1 and 2 messages from the client without PUBACK or PUBREC on the wire (those whose answer waits for an earlier
  /// one included).
  std::size_t in_flight() const;
  /// PUBLISHes that repeated a packet id in flight: the same message, not given to the owner again.
  std::uint64_t repeated_in_flight() const { return repeated_in_flight_; }
  /// Messages for the client that were larger than its maximum packet size and were not sent [MQTT-3.1.2-25].
  std::uint64_t discarded_too_large() const { return discarded_too_large_; }

 private:
  class InFlight;
  class OutgoingAliases;
  /// The SUBSCRIBE or UNSUBSCRIBE that waits for the owner.
  struct Asked {
    PacketType answer = PacketType::kSuback;
    std::uint16_t packet_id = 0;
    std::uint32_t filters = 0;  // 0 = none waits
  };

  Event dispatch(const Frame& frame);
  Event fail(Fault fault, CloseCause cause = CloseCause::kProtocolError);
  Event on_disconnect(const Frame& frame);
  void send_disconnect(ReasonCode reason, std::string_view reason_string, std::string_view server_reference = {});
  bool fits_peer(std::size_t packet_size) const { return packet_size <= peer_maximum_packet_size_; }

  // connecting.cpp
  Event on_connect(const Frame& frame);
  Fault check_connect(const Connect& connect) const;
  void put_connack_properties(const AcceptOptions& options, PropertyWriter& writer) const;
  void send_connack_failure(ReasonCode reason, std::string_view reason_string,
                            std::span<const UserProperty> user_properties = {});

  // incoming.cpp
  Event on_publish(const Frame& frame);
  Fault check_publish(const Publish& publish) const;
  Fault resolve_alias(Publish& publish);
  bool take_exactly_once(std::uint16_t packet_id);
  enum class Turn : std::uint8_t { kNow, kLater };
  void answer(std::uint16_t packet_id, Qos qos, Turn turn, const AckOptions& options);
  void append_ack(PacketType type, std::uint16_t packet_id, const AckOptions& options, std::string& out) const;
  void send_ack(PacketType type, std::uint16_t packet_id, ReasonCode reason);
  Event on_pubrel(const Ack& ack);

  // subscribing.cpp
  Event on_subscribe(const Frame& frame);
  Event on_unsubscribe(const Frame& frame);
  Fault check_filter(std::string_view filter) const;
  bool answer_filters(PacketType type, std::uint16_t packet_id, std::span<const ReasonCode> codes,
                      const Explanation& explanation);

  // outgoing.cpp
  Event on_ack(const Frame& frame);
  void send_publish(const Session::Outgoing& outgoing, TimePoint now);
  enum class Topic : std::uint8_t { kSent, kLeftOut };
  bool append_publish(const Session::Outgoing& outgoing, std::uint16_t alias, Topic topic, TimePoint now);

  const ServerOptions* options_;
  ConnectionState state_ = ConnectionState::kAwaitingConnect;
  Version version_ = Version::k311;
  Offers offers_;
  bool held_ = false;
  bool unheard_ = false;       // blocked since the client was last heard: its keep alive does not run
  bool taking_waits_ = false;  // the next packet repeats a QoS 2 message that an earlier connection has not settled
  bool problem_information_ = true;
  bool client_id_missing_ = false;
  std::uint16_t client_keep_alive_s_ = 0;
  std::uint16_t keep_alive_s_ = 0;  // in force
  std::uint16_t carried_over_ = 0;  // ids awaiting release from earlier connections
  std::uint16_t peer_topic_aliases_ = 0;
  std::uint32_t peer_maximum_packet_size_ = 0xFFFFFFFF;
  std::uint32_t session_expiry_asked_s_ = 0;
  Asked asked_;
  TimePoint last_heard_;
  std::uint64_t repeated_in_flight_ = 0;
  std::uint64_t discarded_too_large_ = 0;
  std::string output_;
  std::shared_ptr<Session> session_;
  Session::Attachment attachment_ = 0;
  // Each made when it is first needed: an idle connection has none of them.
  std::unique_ptr<InFlight> in_flight_;
  std::unique_ptr<std::string[]> aliases_;
  std::unique_ptr<OutgoingAliases> outgoing_aliases_;
};

}  // namespace millrace::mqtt
