#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include <millrace/mqtt/server_connection.hpp>

#include "mqtt/mqtt_context.hpp"

namespace millrace::gateway {

/// One MQTT connection: socket and timer around mqtt::ServerConnection. Everything runs on its io thread, except
/// close_from().
class MqttConnection final : public AckSink, public std::enable_shared_from_this<MqttConnection> {
 public:
  MqttConnection(boost::asio::ip::tcp::socket socket, std::size_t io_index, MqttContext& context);
  ~MqttConnection() override;
  MqttConnection(const MqttConnection&) = delete;
  MqttConnection& operator=(const MqttConnection&) = delete;

  void start();

  /// Messages are taken again: reads on if it was held for that.
  void resume();

  /// Ends the connection with a reason (version 5 is told). Any thread.
  void close_from_outside(mqtt::ReasonCode reason, std::string_view why);

  /// Reads nothing more; what is in flight is still answered. On its thread.
  void stop_reading();

  /// Whether the token that let it in is still good. Any thread.
  [[nodiscard]] bool still_valid() const;

  [[nodiscard]] std::size_t io_index() const override { return io_index_; }
  void settle(std::uint64_t token, const Outcome& outcome) override;
  void flush() override;

 private:
  using Clock = std::chrono::steady_clock;

  void read();
  void process();
  [[nodiscard]] bool handle(mqtt::Event& event);
  void on_connect(const mqtt::Connect& connect);
  void on_subscribe(const mqtt::Subscribe& subscribe);
  void on_unsubscribe(const mqtt::Unsubscribe& unsubscribe);
  void on_publish(const mqtt::Publish& publish);
  void on_closed(const mqtt::Closed& closed);
  void refuse_publish(const mqtt::Publish& publish, mqtt::ReasonCode reason, std::string_view why, IngestResult result);
  [[nodiscard]] bool must_wait();
  void answer_refused(std::uint16_t packet_id, const Outcome& outcome);
  void write();
  void arm_timer();
  void on_timer();
  void end();

  boost::asio::ip::tcp::socket socket_;
  boost::asio::steady_timer timer_;
  std::size_t io_index_;
  MqttContext& context_;
  mqtt::ServerConnection connection_;
  std::shared_ptr<const Identity> identity_;  // set once, before the connection is in the directory
  std::string client_id_;
  std::uint64_t epoch_ = 0;

  std::vector<char> input_;
  std::size_t filled_ = 0;
  std::string writing_;  // being written; the connection gathers the next output
  Clock::time_point write_began_{};
  std::size_t in_flight_bytes_ = 0;
  std::uint64_t repeated_ = 0;
  bool reading_ = false;
  bool write_pending_ = false;
  bool held_ = false;
  bool draining_ = false;
  bool closing_ = false;  // it is over: close the socket when the output is written
  bool ended_ = false;
};

}  // namespace millrace::gateway
