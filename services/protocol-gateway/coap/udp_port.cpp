#include "coap/udp_port.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

namespace millrace::gateway {
namespace {

constexpr int kReceiveBufferBytes = 4 * 1024 * 1024;

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int number() const { return number_; }

 private:
  int number_;
};

Error taken(const Address& address, std::string_view setting, int code) {
  return {ErrorKind::kUnavailable,
          "cannot listen on " + address.to_string() + "/udp (" + std::string(setting) + "): " + std::strerror(code)};
}

std::uint16_t port_of(int socket) {
  sockaddr_storage name{};
  socklen_t size = sizeof name;
  char port[NI_MAXSERV];
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&name), &size) != 0 ||
      ::getnameinfo(reinterpret_cast<sockaddr*>(&name), size, nullptr, 0, port, sizeof port, NI_NUMERICSERV) != 0)
    return 0;
  return static_cast<std::uint16_t>(std::stoul(port));
}

bool is_datagram(int socket) {
  int type = 0;
  socklen_t size = sizeof type;
  return ::getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_DGRAM;
}

// The sockets of an epoll, as /proc tells them: `tfd:  11 events: …`.
int find_socket(int epoll, std::uint16_t port) {
  std::ifstream info("/proc/self/fdinfo/" + std::to_string(epoll));
  std::string word;
  while (info >> word) {
    int socket = -1;
    if (word == "tfd:" && info >> socket && is_datagram(socket) && port_of(socket) == port) return socket;
  }
  return -1;
}

}  // namespace

Result<Address> reserve_udp_port(const Address& address, std::string_view setting) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found) != 0)
    return Error{ErrorKind::kInvalid,
                 "'" + address.host + "' is no address to listen on (" + std::string(setting) + ")"};
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  const Descriptor probe(::socket(found->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (probe.number() < 0 || ::bind(probe.number(), found->ai_addr, found->ai_addrlen) != 0)
    return taken(address, setting, errno);
  return Address{address.host, port_of(probe.number())};
}

Status hold_udp_port(int epoll, const Address& address, std::string_view setting) {
  const int socket = find_socket(epoll, address.port);
  if (socket < 0) return Error{ErrorKind::kInternal, "the socket of " + address.to_string() + " is not to be found"};
  // The kernel gives at most net.core.rmem_max; less is no fault.
  static_cast<void>(::setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &kReceiveBufferBytes, sizeof kReceiveBufferBytes));
  const int off = 0;
  if (::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &off, sizeof off) != 0) return taken(address, setting, errno);
  return {};
}

}  // namespace millrace::gateway
