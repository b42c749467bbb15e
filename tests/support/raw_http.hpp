#pragma once

#include <chrono>
#include <cstdlib>
#include <string>
#include <string_view>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <millrace/base/address.hpp>

namespace millrace::testing {

struct RawAnswer {
  int status = 0;  ///< 0: the connection ended or nothing came
  std::string header;
  std::string body;

  [[nodiscard]] bool has(std::string_view text) const { return header.find(text) != std::string::npos; }
};

/// A socket that says exactly what the test wants. Waits at most a minute for anything.
class RawSocket {
 public:
  explicit RawSocket(const Address& address) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(address.port);
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    connected_ = ::connect(socket_, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
  }
  ~RawSocket() { ::close(socket_); }
  RawSocket(const RawSocket&) = delete;
  RawSocket& operator=(const RawSocket&) = delete;

  [[nodiscard]] bool connected() const { return connected_; }

  void send(std::string_view text) const {
    while (!text.empty()) {
      const ssize_t sent = ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      text.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  void shut_down_sending() const { ::shutdown(socket_, SHUT_WR); }

  /// More bytes into buffer(); false at the end of the connection or after the time.
  [[nodiscard]] bool fill(std::chrono::milliseconds wait = std::chrono::seconds(60)) {
    pollfd ready{socket_, POLLIN, 0};
    if (::poll(&ready, 1, static_cast<int>(wait.count())) != 1) return false;
    char bytes[16384];
    const ssize_t count = ::recv(socket_, bytes, sizeof bytes, 0);
    if (count <= 0) {
      ended_ = true;
      return false;
    }
    buffer_.append(bytes, static_cast<std::size_t>(count));
    return true;
  }

  [[nodiscard]] RawAnswer answer(std::string_view to_method = "GET") {
    RawAnswer answer;
    std::size_t end = 0;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
      if (!fill()) return answer;
    }
    answer.header = buffer_.substr(0, end + 2);
    buffer_.erase(0, end + 4);
    answer.status = std::atoi(answer.header.c_str() + 9);
    const std::size_t field = answer.header.find("Content-Length: ");
    const std::size_t length = field == std::string::npos || to_method == "HEAD"
                                   ? 0
                                   : std::strtoul(answer.header.c_str() + field + 16, nullptr, 10);
    while (buffer_.size() < length) {
      if (!fill()) return answer;
    }
    answer.body = buffer_.substr(0, length);
    buffer_.erase(0, length);
    return answer;
  }

  /// True once the other side has closed and nothing is left to read.
  [[nodiscard]] bool at_end() {
    while (!ended_ && fill()) {
    }
    return ended_ && buffer_.empty();
  }
  [[nodiscard]] std::string& buffer() { return buffer_; }

 private:
  int socket_;
  bool connected_ = false;
  bool ended_ = false;
  std::string buffer_;
};

}  // namespace millrace::testing
