#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <millrace/base/address.hpp>

namespace millrace::testing {

/// One CoAP message as on the wire (RFC 7252 section 3).
struct RawCoap {
  enum Type : std::uint8_t { kCon = 0, kNon = 1, kAck = 2, kRst = 3 };
  Type type = kCon;
  std::uint8_t code = 2;  // POST
  std::uint16_t message_id = 0;
  std::string token = {};
  std::vector<std::pair<unsigned, std::string>> options = {};  // in the order of their numbers
  std::string payload = {};

  /// `4.04` as 404.
  [[nodiscard]] int status() const { return (code >> 5) * 100 + (code & 31); }
  [[nodiscard]] std::optional<unsigned> number(unsigned option) const {
    for (const auto& [name, value] : options) {
      if (name != option) continue;
      unsigned out = 0;
      for (const char c : value) out = out << 8U | static_cast<std::uint8_t>(c);
      return out;
    }
    return std::nullopt;
  }
};

namespace coap_option {
inline constexpr unsigned kUriPath = 11;
inline constexpr unsigned kContentFormat = 12;
inline constexpr unsigned kMaxAge = 14;
inline constexpr unsigned kUriQuery = 15;
inline constexpr unsigned kAccept = 17;
inline constexpr unsigned kBlock1 = 27;
inline constexpr unsigned kSize1 = 60;
}  // namespace coap_option

inline std::string uint_option(unsigned value) {
  std::string out;
  for (; value != 0; value >>= 8U) out.insert(out.begin(), static_cast<char>(value & 0xffU));
  return out;
}

inline std::string encode(const RawCoap& message) {
  std::string out;
  out += static_cast<char>(0x40 | (message.type << 4) | message.token.size());
  out += static_cast<char>(message.code);
  out += static_cast<char>(message.message_id >> 8);
  out += static_cast<char>(message.message_id & 0xff);
  out += message.token;
  const auto nibble = [](std::size_t value) { return value < 13 ? value : value < 269 ? 13 : 14; };
  const auto rest = [&out](std::size_t value) {
    if (value >= 269) {
      out += static_cast<char>((value - 269) >> 8);
      out += static_cast<char>((value - 269) & 0xff);
    } else if (value >= 13) {
      out += static_cast<char>(value - 13);
    }
  };
  unsigned last = 0;
  for (const auto& [number, value] : message.options) {
    out += static_cast<char>(nibble(number - last) << 4 | nibble(value.size()));
    rest(number - last);
    rest(value.size());
    out += value;
    last = number;
  }
  if (!message.payload.empty()) out.append("\xff").append(message.payload);
  return out;
}

/// None if the bytes are no message.
inline std::optional<RawCoap> decode_coap(std::string_view bytes) {
  if (bytes.size() < 4) return std::nullopt;
  const auto byte = [&](std::size_t at) { return static_cast<std::uint8_t>(bytes.at(at)); };
  RawCoap message;
  message.type = static_cast<RawCoap::Type>((byte(0) >> 4) & 3);
  message.code = byte(1);
  message.message_id = static_cast<std::uint16_t>(byte(2) << 8 | byte(3));
  std::size_t at = 4 + (byte(0) & 15U);
  if (at > bytes.size()) return std::nullopt;
  message.token = bytes.substr(4, byte(0) & 15U);
  unsigned number = 0;
  const auto extended = [&](unsigned nibble) -> unsigned {
    if (nibble == 13) return byte(at++) + 13U;
    if (nibble != 14) return nibble;
    at += 2;
    return (static_cast<unsigned>(byte(at - 2)) << 8U | byte(at - 1)) + 269U;
  };
  while (at < bytes.size() && byte(at) != 0xff) {
    const unsigned head = byte(at++);
    number += extended(head >> 4U);
    const unsigned size = extended(head & 15U);
    if (at + size > bytes.size()) return std::nullopt;
    message.options.emplace_back(number, bytes.substr(at, size));
    at += size;
  }
  if (at < bytes.size()) message.payload = bytes.substr(at + 1);
  return message;
}

/// A UDP socket that says exactly what the test wants. Waits at most a minute for anything.
class RawUdp {
 public:
  explicit RawUdp(const Address& address) : socket_(::socket(AF_INET, SOCK_DGRAM, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(address.port);
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    static_cast<void>(::connect(socket_, reinterpret_cast<const sockaddr*>(&to), sizeof to));
  }
  ~RawUdp() { ::close(socket_); }
  RawUdp(const RawUdp&) = delete;
  RawUdp& operator=(const RawUdp&) = delete;

  void send(std::string_view bytes) const {
    static_cast<void>(::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL));
  }
  void send(const RawCoap& message) const { send(std::string_view(encode(message))); }

  /// The next datagram; none after the time.
  [[nodiscard]] std::optional<RawCoap> receive(std::chrono::milliseconds wait = std::chrono::seconds(60)) const {
    pollfd ready{socket_, POLLIN, 0};
    if (::poll(&ready, 1, static_cast<int>(wait.count())) != 1) return std::nullopt;
    char bytes[2048];
    const ssize_t count = ::recv(socket_, bytes, sizeof bytes, 0);
    if (count < 0) return std::nullopt;
    return decode_coap({bytes, static_cast<std::size_t>(count)});
  }

  /// The answer to a request with that token: what is confirmable is acknowledged, an empty ACK is passed over.
  [[nodiscard]] std::optional<RawCoap> answer(const std::string& token) const {
    while (auto message = receive()) {
      if (message->type == RawCoap::kCon) send(RawCoap{RawCoap::kAck, 0, message->message_id});
      if (message->code != 0 && message->token == token) return message;
    }
    return std::nullopt;
  }

 private:
  int socket_;
};

}  // namespace millrace::testing
