#pragma once

#include <string>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include <millrace/mqtt/codec.hpp>
#include <millrace/mqtt/server_session.hpp>

namespace millrace::mqtt::testing {

/// A server session and the client's end of its wire.
class Wire {
 public:
  explicit Wire(ServerOptions wanted = {}) : options(wanted), session(options, now) {}

  /// Gives bytes to the session; the first event that comes of them, valid until the next call. What it did not take is
  /// in `pending`.
  Event send(std::string_view bytes) {
    buffer = std::string(pending) + std::string(bytes);
    pending = buffer;
    return session.next(pending, now);
  }
  template <typename Packet>
    requires(!std::is_convertible_v<const Packet&, std::string_view>)
  Event send(const Packet& packet) {
    std::string bytes;
    encode(session.version(), packet, bytes);
    return send(bytes);
  }
  Event connect(const Connect& connect) {
    std::string bytes;
    encode(connect, bytes);
    return send(bytes);
  }
  void connect_and_accept(Version version, Properties properties = {}, std::uint16_t keep_alive_s = 0) {
    Connect packet;
    packet.version = version;
    packet.client_id = "c";
    packet.keep_alive_s = keep_alive_s;
    packet.properties = properties;
    ASSERT_TRUE(std::holds_alternative<ConnectRequested>(connect(packet)));
    session.accept(now);
    ASSERT_EQ(session.state(), SessionState::kConnected);
    session.output().clear();
  }
  Event publish(std::uint16_t packet_id, std::string_view topic = "t", std::string_view payload = "p",
                Properties properties = {}) {
    return send(Publish{topic, payload, packet_id == 0 ? Qos::kAtMostOnce : Qos::kAtLeastOnce, false, false, packet_id,
                        properties});
  }

  /// Takes one packet of the given type off the output.
  template <typename Packet>
  Packet receive(PacketType type) {
    received = std::move(session.output());
    session.output() = {};
    Frame frame;
    EXPECT_EQ(next_frame(received, 1 << 20, frame).status, FrameStatus::kComplete);
    EXPECT_EQ(frame.type, type);
    Packet packet;
    const Fault fault = decode(frame, session.version(), packet);
    EXPECT_FALSE(fault) << fault.rule;
    session.output() = received.substr(frame.size);
    return packet;
  }
  std::vector<std::uint16_t> pubacks() {
    std::vector<std::uint16_t> ids;
    while (!session.output().empty()) ids.push_back(receive<Ack>(PacketType::kPuback).packet_id);
    return ids;
  }

  ServerOptions options;
  TimePoint now{std::chrono::hours(1)};
  ServerSession session;
  std::string buffer;
  std::string_view pending;
  std::string received;
};

inline bool nothing(const Event& event) { return std::holds_alternative<std::monostate>(event); }

inline void expect_closed(const Event& event, CloseCause cause, ReasonCode reason) {
  const auto* closed = std::get_if<Closed>(&event);
  ASSERT_NE(closed, nullptr);
  EXPECT_EQ(closed->cause, cause) << closed->rule;
  EXPECT_EQ(closed->reason, reason) << closed->rule;
}

}  // namespace millrace::mqtt::testing
