// Clients on one broker, or on two that share their clients as gateways do: each with a connection of its own, a wire
// and an owner that does what the gateway's does. Checked throughout: what a Session, a Broker and a ServerConnection
// promise each other.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/mqtt/broker.hpp>
#include <millrace/mqtt/codec.hpp>
#include <millrace/mqtt/server_connection.hpp>

namespace millrace::fuzz {

inline constexpr std::size_t kClients = 4;

/// What callbacks may touch when the connection is gone.
struct Signals {
  bool woken = false;
  bool gone = false;  ///< disconnect() was called, or its owner knows that another broker has the client
  std::optional<mqtt::ReasonCode> ended;
};

/// One network connection.
struct Client {
  Client(const mqtt::ServerOptions& options, mqtt::Broker& at, mqtt::TimePoint now)
      : connection(options, now), broker(&at) {}

  mqtt::ServerConnection connection;
  mqtt::Broker* broker;
  std::shared_ptr<Signals> signals = std::make_shared<Signals>();
  std::shared_ptr<mqtt::Session> session;
  mqtt::Session::Attachment attachment = 0;
  std::string input;                      ///< written by the client, not taken by the server
  std::string answers;                    ///< what the client has to say to what it received
  std::vector<std::uint16_t> unanswered;  ///< messages that the owner acknowledges later
  bool closed = false;                    ///< the server has ended it
  std::optional<mqtt::Broker::Goodbye> goodbye;
};

class Clients {
 public:
  /// `brokers`: 1 or 2.
  explicit Clients(std::size_t brokers);

  // --- what a client does; nothing where the slot has no connection ---

  /// A new connection in the slot; one that is there is cut off. `connect` is its first packet.
  void open(std::size_t slot, std::size_t broker, const std::string& connect);
  /// Bytes from the client, whatever they are.
  void write(std::size_t slot, std::string_view bytes);
  void answer(std::size_t slot);
  void cut_off(std::size_t slot);
  [[nodiscard]] std::optional<mqtt::Version> version(std::size_t slot) const;

  // --- what the server does ---

  /// The loop of server_connection.hpp.
  void serve(std::size_t slot);
  /// Acknowledges the oldest message that was left for later.
  void settle(std::size_t slot, mqtt::ReasonCode reason);
  void publish(std::size_t broker, const std::shared_ptr<mqtt::Message>& message);
  void pass(std::chrono::seconds time);

  /// Between two steps: limits are kept, counts agree, and nobody has anything to do who was not woken.
  void check();
  /// Everybody leaves, and every session is ended: nothing of them may be left.
  void finish();

 private:
  struct Stored {
    mqtt::StoredSession session;
    std::optional<mqtt::TimePoint> due;  ///< none while it is connected
  };

  void act(Client& client, const mqtt::Event& event);
  void connect(Client& client, const mqtt::ConnectRequested& asked);
  mqtt::ConnectSpec spec(Client& client, const mqtt::ConnectRequested& asked);
  void take_from_the_other(Client& client, mqtt::ConnectSpec& spec);
  void take(Client& client, const mqtt::Publish& publish);
  void subscribe(Client& client, const mqtt::SubscribeRequested& asked);
  void unsubscribe(Client& client, const mqtt::Unsubscribe& asked);
  void route(mqtt::Broker& broker, const std::shared_ptr<mqtt::Message>& message, const mqtt::Session* publisher);
  void read(Client& client);
  void receive(Client& client, const mqtt::Publish& publish);
  void keep(const Client& client);
  void leave(std::unique_ptr<Client>& slot);
  void check(Client& client);
  void check(const mqtt::Broker& broker) const;

  mqtt::ServerOptions options_;
  mqtt::BrokerLimits limits_;
  std::shared_ptr<mqtt::MemoryShare> memory_ = std::make_shared<mqtt::MemoryShare>(std::size_t{16} << 10U);
  mqtt::TimePoint now_{std::chrono::hours(1000)};
  std::uint32_t serial_ = 0;
  std::uint64_t epoch_ = 0;
  std::size_t assigned_ = 0;
  std::map<std::string, Stored> stored_;
  /// The last message of each QoS that a session was sent for the first time.
  std::map<std::shared_ptr<const mqtt::Session>, std::array<std::uint32_t, 3>> last_sent_;
  std::vector<std::unique_ptr<mqtt::Broker>> brokers_;
  std::array<std::unique_ptr<Client>, kClients> clients_;
};

}  // namespace millrace::fuzz
