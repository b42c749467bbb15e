// A gateway for tests: real sockets, the real server connection, and a script of what it does to each message.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <millrace/mqtt/server_connection.hpp>

namespace millrace::fleet::testing {

struct Arrival {
  int connection = 0;  ///< counted from 1
  std::string who;     ///< MQTT client id, HTTP authorization
  std::string key;     ///< packet id or Idempotency-Key
  bool dup = false;
  std::string payload;
};

/// What to do with a message: HTTP status, or for MQTT 202 = PUBACK, 0 = no answer, -1 = the connection is reset.
using Script = std::function<int(const Arrival&)>;

class TestGateway {
 public:
  enum class Speaks { kMqtt, kHttp };

  TestGateway(Speaks speaks, mqtt::ServerOptions options, Script script)
      : speaks_(speaks), options_(options), script_(std::move(script)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 128) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      throw std::runtime_error("no listener");
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  }
  ~TestGateway() {
    stop();
    ::close(listener_);
  }
  TestGateway(const TestGateway&) = delete;
  TestGateway& operator=(const TestGateway&) = delete;

  std::uint16_t port() const { return port_; }
  void stop() {
    thread_.request_stop();
    if (thread_.joinable()) thread_.join();
  }
  /// After stop().
  std::vector<Arrival> arrivals;
  int protocol_errors = 0;

 private:
  struct Client {
    int fd = -1;
    int number = 0;
    std::string in;
    std::string who;
    std::unique_ptr<mqtt::ServerConnection> connection;
    bool over = false;
  };

  void run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      std::vector<pollfd> fds{{listener_, POLLIN, 0}};
      for (const auto& client : clients_) fds.push_back({client->fd, POLLIN, 0});
      if (::poll(fds.data(), fds.size(), 20) <= 0) continue;
      for (std::size_t i = 1; i < fds.size(); ++i) {
        if (fds[i].revents != 0) serve(*clients_[i - 1]);
      }
      std::erase_if(clients_, [](const auto& client) {
        if (client->over) ::close(client->fd);
        return client->over;
      });
      if ((fds[0].revents & POLLIN) != 0) accept_one();
    }
    for (const auto& client : clients_) ::close(client->fd);
  }

  void accept_one() {
    auto client = std::make_unique<Client>();
    client->fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    client->number = ++connections_;
    client->connection = std::make_unique<mqtt::ServerConnection>(options_, std::chrono::steady_clock::now());
    clients_.push_back(std::move(client));
  }

  void serve(Client& client) {
    char buffer[65536];
    const ssize_t size = ::recv(client.fd, buffer, sizeof buffer, 0);
    if (size <= 0) {
      client.over = true;
      return;
    }
    client.in.append(buffer, static_cast<std::size_t>(size));
    std::string out;
    speaks_ == Speaks::kMqtt ? serve_mqtt(client, out) : serve_http(client, out);
    if (!client.over) ::send(client.fd, out.data(), out.size(), MSG_NOSIGNAL);
  }

  void serve_mqtt(Client& client, std::string& out) {
    std::string_view input = client.in;
    const auto now = std::chrono::steady_clock::now();
    for (;;) {
      const mqtt::Event event = client.connection->next(input, now);
      if (std::holds_alternative<std::monostate>(event)) break;
      if (const auto* requested = std::get_if<mqtt::ConnectRequested>(&event)) {
        client.who = requested->connect.client_id;
        auto session = std::make_shared<mqtt::Session>(client.who, mqtt::SessionLimits{});
        const auto attachment = session->attach({});
        if (!client.connection->accept(now, std::move(session), attachment)) client.over = true;
      } else if (const auto* received = std::get_if<mqtt::PublishReceived>(&event)) {
        const mqtt::Publish& publish = received->publish;
        Arrival arrival{client.number, client.who, std::to_string(publish.packet_id), publish.dup,
                        std::string(publish.payload)};
        const int answer = script_(arrival);
        arrivals.push_back(std::move(arrival));
        if (answer == -1) {
          client.over = true;
          return;
        }
        const std::string receipt = "1:" + std::to_string(arrivals.size());
        const mqtt::UserProperty property{"receipt", receipt};
        if (answer == 202)
          client.connection->acknowledge(publish.packet_id, {mqtt::ReasonCode::kSuccess, {}, {&property, 1}});
        if (answer == 400)
          client.connection->acknowledge(publish.packet_id, {mqtt::ReasonCode::kPayloadFormatInvalid, {}, {}});
      } else if (const auto* closed = std::get_if<mqtt::Closed>(&event);
                 closed == nullptr || closed->cause != mqtt::CloseCause::kClientDisconnect) {
        ++protocol_errors;
      }
    }
    client.in.erase(0, client.in.size() - input.size());
    out.swap(client.connection->output());
    if (client.connection->state() == mqtt::ConnectionState::kClosed) client.over = true;
  }

  static std::string header(std::string_view head, std::string_view name) {
    const std::size_t at = head.find(name);
    if (at == std::string_view::npos) return {};
    const std::size_t end = head.find("\r\n", at);
    return std::string(head.substr(at + name.size(), end - at - name.size()));
  }

  void serve_http(Client& client, std::string& out) {
    for (;;) {
      const std::size_t end = client.in.find("\r\n\r\n");
      if (end == std::string::npos) return;
      const std::string head = client.in.substr(0, end + 2);
      const std::size_t length = std::stoul(header(head, "Content-Length: "));
      if (client.in.size() < end + 4 + length) return;
      if (!head.starts_with("POST /v1/telemetry HTTP/1.1\r\n")) ++protocol_errors;
      Arrival arrival{client.number, header(head, "Authorization: "), header(head, "Idempotency-Key: "), false,
                      client.in.substr(end + 4, length)};
      client.in.erase(0, end + 4 + length);
      const int answer = script_(arrival);
      arrivals.push_back(std::move(arrival));
      if (answer == -1) {
        client.over = true;
        return;
      }
      const std::string body = answer == 202 ? "{\"receipt\":\"2:" + std::to_string(arrivals.size()) + "\"}" : "{}";
      out += "HTTP/1.1 " + std::to_string(answer) + " x\r\n" + (answer == 503 ? "Retry-After: 1\r\n" : "") +
             "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    }
  }

  const Speaks speaks_;
  const mqtt::ServerOptions options_;
  const Script script_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  int connections_ = 0;
  std::vector<std::unique_ptr<Client>> clients_;
  std::jthread thread_;
};

}  // namespace millrace::fleet::testing
