#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/mqtt/codec.hpp>

#include "raw_http.hpp"

namespace millrace::testing {

/// An MQTT client that sends exactly what the test says and answers nothing by itself.
class MqttClient {
 public:
  struct Login {
    std::string user = "m-1@acme";
    std::string password = "mt_integration";
    std::string client_id = "client-1";
    bool clean = true;
    std::uint32_t expiry_s = 0;  ///< version 5
    bool receipts = true;        ///< asks for them (version 5)
    std::optional<mqtt::Will> will = std::nullopt;
  };
  struct Connected {
    mqtt::ReasonCode reason = mqtt::ReasonCode::kUnspecifiedError;
    bool session_present = false;
    std::map<mqtt::PropertyId, std::uint32_t> numbers;
    std::string assigned_id;
  };
  /// PUBACK, PUBREC, PUBREL, PUBCOMP or DISCONNECT; type 0: nothing came any more.
  struct Answer {
    mqtt::PacketType type{};
    std::uint16_t packet_id = 0;
    mqtt::ReasonCode reason = mqtt::ReasonCode::kSuccess;
    std::string receipt;
  };

  MqttClient(const Address& address, mqtt::Version version) : socket_(address), version_(version) {}

  Connected connect(const Login& login) {
    mqtt::Connect connect;
    connect.version = version_;
    connect.client_id = login.client_id;
    connect.user_name = login.user;
    connect.password = login.password;
    connect.clean_start = login.clean;
    connect.will = login.will;
    mqtt::PropertyWriter properties;
    if (login.expiry_s != 0) properties.add(mqtt::PropertyId::kSessionExpiryInterval, login.expiry_s);
    if (login.receipts) properties.add_user("receipts", "true");
    if (version_ == mqtt::Version::k5) connect.properties = properties.view();
    send([&](std::string& out) { mqtt::encode(connect, out); });
    return connack();
  }
  /// What CONNACK says.
  Connected connack() {
    Connected connected;
    mqtt::Connack packet;
    if (!next() || mqtt::decode(frame_, version_, packet)) return connected;
    connected.reason = packet.reason;
    connected.session_present = packet.session_present;
    mqtt::PropertyReader reader = packet.properties.reader();
    for (mqtt::Property property; reader.next(property);) {
      connected.numbers[property.id] = property.number;
      if (property.id == mqtt::PropertyId::kAssignedClientIdentifier) connected.assigned_id = property.text;
    }
    return connected;
  }

  void publish(std::uint16_t id, std::string_view topic, std::string_view payload,
               mqtt::Qos qos = mqtt::Qos::kAtLeastOnce, bool dup = false, bool retain = false) {
    mqtt::Publish publish;
    publish.topic = topic;
    publish.payload = payload;
    publish.qos = qos;
    publish.packet_id = id;
    publish.dup = dup;
    publish.retain = retain;
    send([&](std::string& out) { mqtt::encode(version_, publish, out); });
  }
  void pubrel(std::uint16_t id) {
    send([&](std::string& out) { mqtt::encode(version_, mqtt::Ack{mqtt::PacketType::kPubrel, id, {}, {}}, out); });
  }
  void disconnect(mqtt::ReasonCode reason = mqtt::ReasonCode::kSuccess) {
    send([&](std::string& out) { mqtt::encode(version_, mqtt::Disconnect{reason, {}}, out); });
  }

  Answer answer() {
    Answer answer;
    if (!next()) return answer;
    answer.type = frame_.type;
    if (frame_.type == mqtt::PacketType::kDisconnect) {
      mqtt::Disconnect disconnect;
      if (!mqtt::decode(frame_, version_, disconnect)) answer.reason = disconnect.reason;
      return answer;
    }
    mqtt::Ack ack;
    if (mqtt::decode(frame_, version_, ack)) return {};
    answer.packet_id = ack.packet_id;
    answer.reason = ack.reason;
    answer.receipt = ack.properties.user("receipt").value_or("");
    return answer;
  }

  /// The next packet, which has to be a PUBLISH; its views are good until the next call. QoS 0 alone: nothing is
  /// acknowledged.
  mqtt::Publish message() {
    mqtt::Publish publish;
    if (!next() || mqtt::decode(frame_, version_, publish)) return {};
    return publish;
  }

  /// SUBSCRIBE with QoS 1 and the codes of its SUBACK.
  std::vector<mqtt::ReasonCode> subscribe(const std::vector<std::string>& filters) {
    std::string entries;
    for (const std::string& filter : filters)
      mqtt::append_subscription(version_, {filter, mqtt::Qos::kAtLeastOnce, false, false, {}}, entries);
    send([&](std::string& out) { mqtt::encode(version_, mqtt::Subscribe{77, {}, entries}, out); });
    return codes();
  }
  std::vector<mqtt::ReasonCode> unsubscribe(const std::vector<std::string>& filters) {
    std::string entries;
    for (const std::string& filter : filters) mqtt::append_filter(filter, entries);
    send([&](std::string& out) { mqtt::encode(version_, mqtt::Unsubscribe{78, {}, entries}, out); });
    return codes();
  }

  [[nodiscard]] RawSocket& socket() { return socket_; }

 private:
  template <typename Write>
  void send(Write write) {
    std::string bytes;
    write(bytes);
    socket_.send(bytes);
  }
  /// The next packet into frame_, which points into packet_.
  bool next() {
    for (;;) {
      mqtt::Frame frame;
      if (mqtt::next_frame(socket_.buffer(), 1 << 20, frame).status == mqtt::FrameStatus::kComplete) {
        packet_ = socket_.buffer().substr(0, frame.size);
        socket_.buffer().erase(0, frame.size);
        return mqtt::next_frame(packet_, 1 << 20, frame_).status == mqtt::FrameStatus::kComplete;
      }
      if (!socket_.fill()) return false;
    }
  }
  std::vector<mqtt::ReasonCode> codes() {
    mqtt::Suback suback;
    std::vector<mqtt::ReasonCode> codes;
    if (!next() || mqtt::decode(frame_, version_, suback)) return codes;
    for (const char code : suback.codes)
      codes.push_back(static_cast<mqtt::ReasonCode>(static_cast<unsigned char>(code)));
    return codes;
  }

  RawSocket socket_;
  mqtt::Version version_;
  std::string packet_;
  mqtt::Frame frame_;
};

}  // namespace millrace::testing
