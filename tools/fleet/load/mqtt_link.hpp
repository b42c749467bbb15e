#pragma once

#include <millrace/mqtt/codec.hpp>

#include "load/tcp_link.hpp"

namespace millrace::fleet {

/// An MQTT client, version 3.1.1 or 5. Messages are pipelined up to the window (version 5: and the server's Receive
/// Maximum). With QoS 0 a PINGREQ follows each half of it and counts for what is before it. What had no PUBACK when a connection was lost goes first on the next, with DUP and its packet id.
class MqttLink : public TcpLink {
 public:
  MqttLink(LinkContext& context, std::size_t index, const Device& device, const sockaddr_in& server,
           const std::string& tenant);

  std::size_t in_flight() const override { return in_flight_.size() + unconfirmed_; }

 protected:
  void on_open() override;
  bool on_bytes(std::string_view& input) override;
  void on_lost() override;
  void pump() override;
  void on_goodbye() override;
  bool alive() override;

 private:
  struct InFlight {
    Message message;
    std::uint16_t packet_id = 0;
    bool sent = false;
  };

  bool on_packet(const mqtt::Frame& frame);
  bool on_connack(const mqtt::Frame& frame);
  bool on_puback(const mqtt::Frame& frame);
  bool on_pingresp();
  void send(InFlight& entry);
  void pump_unanswered();
  void ping();
  std::uint16_t next_packet_id();

  const mqtt::Version version_;
  std::string user_name_;
  std::string topic_;
  std::string payload_;
  mqtt::PropertyWriter properties_;
  std::deque<InFlight> in_flight_;  // in the order of their first transmission
  std::size_t to_send_ = 0;         // those before it are on the wire of this connection
  std::uint16_t last_packet_id_ = 0;
  std::size_t window_ = 0;
  std::int64_t pinged_ns_ = 0;
  // QoS 0: what the server has read is known from its answer to the PINGREQ behind it.
  std::size_t unconfirmed_ = 0;  // messages on this connection that no PINGRESP covers
  std::size_t covered_ = 0;      // of them, those before the PINGREQ that is on its way
  bool ping_out_ = false;
};

}  // namespace millrace::fleet
