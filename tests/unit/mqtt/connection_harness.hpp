#pragma once

#include <string>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include <millrace/mqtt/codec.hpp>
#include <millrace/mqtt/server_connection.hpp>

namespace millrace::mqtt::testing {

/// A server connection with its session, and the client's end of its wire.
class Wire {
 public:
  explicit Wire(ServerOptions wanted = {}) : options(wanted), connection(options, now) {}

  /// Gives bytes to the connection; the first event that comes of them, valid until the next call. What it did not take
  /// is in `pending`.
  Event send(std::string_view bytes) {
    buffer = std::string(pending) + std::string(bytes);
    pending = buffer;
    return connection.next(pending, now);
  }
  template <typename Packet>
    requires(!std::is_convertible_v<const Packet&, std::string_view>)
  Event send(const Packet& packet) {
    std::string bytes;
    encode(connection.version(), packet, bytes);
    return send(bytes);
  }
  Event connect(const Connect& connect) {
    std::string bytes;
    encode(connect, bytes);
    return send(bytes);
  }
  /// Attaches `session` (a new one if there is none) as the answer to ConnectRequested.
  bool accept(const AcceptOptions& accepted = {}) {
    if (!session) session = std::make_shared<Session>("c", SessionLimits{});
    attachment = session->attach({[this] { ++wakes; }, receive_maximum});
    return connection.accept(now, session, attachment, accepted);
  }
  void connect_and_accept(Version version, Properties properties = {}, std::uint16_t keep_alive_s = 0,
                          const AcceptOptions& accepted = {}) {
    Connect packet;
    packet.version = version;
    packet.client_id = "c";
    packet.keep_alive_s = keep_alive_s;
    packet.properties = properties;
    const Event event = connect(packet);
    ASSERT_TRUE(std::holds_alternative<ConnectRequested>(event));
    receive_maximum = std::get<ConnectRequested>(event).receive_maximum;
    ASSERT_TRUE(accept(accepted));
    ASSERT_EQ(connection.state(), ConnectionState::kConnected);
    connection.output().clear();
  }
  Event publish(std::uint16_t packet_id, std::string_view topic = "t", std::string_view payload = "p",
                Properties properties = {}) {
    return send(Publish{topic, payload, packet_id == 0 ? Qos::kAtMostOnce : Qos::kAtLeastOnce, false, false, packet_id,
                        properties});
  }
  Event publish2(std::uint16_t packet_id, bool dup = false) {
    return send(Publish{"t", "p", Qos::kExactlyOnce, dup, false, packet_id, {}});
  }
  Event ack(PacketType type, std::uint16_t packet_id, ReasonCode reason = ReasonCode::kSuccess) {
    return send(Ack{type, packet_id, reason, {}});
  }
  Session::Offer offer(std::string_view topic, std::string_view payload, Qos qos) {
    return session->offer({make_message(Publish{topic, payload, qos, false, false, 0, {}}, now), qos, false, {}}, now);
  }

  /// Takes one packet of the given type off the output.
  template <typename Packet>
  Packet receive(PacketType type) {
    received = std::move(connection.output());
    connection.output() = {};
    Frame frame;
    EXPECT_EQ(next_frame(received, 1 << 20, frame).status, FrameStatus::kComplete);
    EXPECT_EQ(frame.type, type);
    Packet packet;
    const Fault fault = decode(frame, connection.version(), packet);
    EXPECT_FALSE(fault) << fault.rule;
    connection.output() = received.substr(frame.size);
    return packet;
  }
  std::vector<std::uint16_t> pubacks() {
    std::vector<std::uint16_t> ids;
    while (!connection.output().empty()) ids.push_back(receive<Ack>(PacketType::kPuback).packet_id);
    return ids;
  }
  /// All that is in the output, such as "PUBLISH0 t p|PUBREL 3 0x92"; `dup`, `retain` are told where they are set.
  std::string said() {
    std::string text;
    received = std::move(connection.output());
    connection.output() = {};
    for (std::string_view rest = received; !rest.empty();) {
      Frame frame;
      EXPECT_EQ(next_frame(rest, 1 << 20, frame).status, FrameStatus::kComplete);
      if (frame.size == 0) return text + "|?";
      if (!text.empty()) text += '|';
      text += told(frame);
      rest.remove_prefix(frame.size);
    }
    return text;
  }

  std::string told(const Frame& frame) {
    std::string text(to_string(frame.type));
    const Version version = connection.version();
    if (frame.type == PacketType::kPublish) {
      Publish publish;
      EXPECT_FALSE(decode(frame, version, publish));
      text += std::to_string(static_cast<int>(publish.qos));
      if (publish.packet_id != 0) text += " #" + std::to_string(publish.packet_id);
      text += publish.dup ? " dup " : " ";
      if (publish.retain) text += "retain ";
      return text + std::string(publish.topic) + " " + std::string(publish.payload);
    }
    if (frame.type >= PacketType::kPuback && frame.type <= PacketType::kPubcomp) {
      Ack ack;
      EXPECT_FALSE(decode(frame, version, ack));
      text += " " + std::to_string(ack.packet_id);
      if (ack.reason != ReasonCode::kSuccess) text += " " + std::string(to_string(ack.reason));
    }
    return text;
  }

  ServerOptions options;
  TimePoint now{std::chrono::hours(1)};
  ServerConnection connection;
  std::shared_ptr<Session> session;
  Session::Attachment attachment = 0;
  std::uint16_t receive_maximum = 65535;
  int wakes = 0;
  std::string buffer;
  std::string_view pending;
  std::string received;
};

inline bool nothing(const Event& event) { return std::holds_alternative<std::monostate>(event); }

template <typename Kind>
bool is(const Event& event) {
  return std::holds_alternative<Kind>(event);
}

inline void expect_closed(const Event& event, CloseCause cause, ReasonCode reason) {
  const auto* closed = std::get_if<Closed>(&event);
  ASSERT_NE(closed, nullptr);
  EXPECT_EQ(closed->cause, cause) << closed->rule;
  EXPECT_EQ(closed->reason, reason) << closed->rule;
}

}  // namespace millrace::mqtt::testing
