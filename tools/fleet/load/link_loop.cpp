#include "load/link_loop.hpp"

#include <array>
#include <cerrno>
#include <cstring>

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "load/coap_client.hpp"
#include "load/coap_link.hpp"
#include "load/http_link.hpp"
#include "load/mqtt_link.hpp"

namespace millrace::fleet {
namespace {

std::int64_t steady_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Result<sockaddr_in> resolve(const Address& address) {
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found);
  if (error != 0) return Error{ErrorKind::kInvalid, address.to_string() + ": " + ::gai_strerror(error)};
  sockaddr_in result{};
  std::memcpy(&result, found->ai_addr, sizeof result);
  ::freeaddrinfo(found);
  return result;
}

const Address& address_of(const LoadOptions& options, Protocol protocol) {
  switch (protocol) {
    case Protocol::kHttp:
      return options.http;
    case Protocol::kCoap:
      return options.coap;
    case Protocol::kCoaps:
      return options.coaps;
    case Protocol::kMqtt311:
    case Protocol::kMqtt5:
      break;
  }
  return options.mqtt;
}

}  // namespace

double thread_cpu_us() {
  rusage usage{};
  ::getrusage(RUSAGE_THREAD, &usage);
  const auto us = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
  };
  return us(usage.ru_utime) + us(usage.ru_stime);
}

LinkLoop::LinkLoop(const LoadOptions& options, const Readings& readings, Outcome& outcome) : options_(options) {
  context_.readings = &readings;
  context_.outcome = &outcome;
  context_.window = options.window;
  context_.qos = options.qos;
  context_.mqtt_wire = options.mqtt_wire;
  context_.message_id_base = options.message_id_base;
  if (!options.source.empty()) ::inet_pton(AF_INET, options.source.c_str(), &context_.source);
}

LinkLoop::~LinkLoop() {
  if (context_.epoll >= 0) ::close(context_.epoll);
}

Status LinkLoop::open() {
  context_.epoll = ::epoll_create1(EPOLL_CLOEXEC);
  if (context_.epoll < 0) return Error{ErrorKind::kInternal, std::string("epoll: ") + std::strerror(errno)};
  context_.now_ns = steady_ns();
  return {};
}

Result<sockaddr_in> LinkLoop::server_of(Protocol protocol) {
  const auto known = servers_.find(protocol);
  if (known != servers_.end()) return known->second;
  auto server = resolve(address_of(options_, protocol));
  if (server) servers_.emplace(protocol, *server);
  return server;
}

Result<std::unique_ptr<Link>> LinkLoop::make_link(std::size_t index, const Device& device) {
  const auto server = server_of(device.protocol);
  if (!server) return server.error();
  std::unique_ptr<Link> link;
  if (device.protocol == Protocol::kCoap || device.protocol == Protocol::kCoaps) {
    auto client = coap_client();
    if (!client) return client.error();
    link = std::make_unique<CoapLink>(context_, index, device, *server, options_.tenant, **client);
  } else if (device.protocol == Protocol::kHttp) {
    link = std::make_unique<HttpLink>(context_, index, device, *server, options_.tenant, options_.http.to_string());
  } else {
    link = std::make_unique<MqttLink>(context_, index, device, *server, options_.tenant);
  }
  return link;
}

Result<CoapClient*> LinkLoop::coap_client() {
  if (coap_) return coap_.get();
  coap_ = std::make_unique<CoapClient>();
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;  // no link's
  if (::epoll_ctl(context_.epoll, EPOLL_CTL_ADD, coap_->descriptor(), &event) != 0)
    return Error{ErrorKind::kInternal, std::string("epoll: ") + std::strerror(errno)};
  return coap_.get();
}

void LinkLoop::mark(Link& link) {
  if (link.dirty) return;
  link.dirty = true;
  marked_.push_back(&link);
}

void LinkLoop::flush_marked() {
  for (Link* link : marked_) {
    link->dirty = false;
    link->flush();
  }
  marked_.clear();
}

void LinkLoop::poll(int timeout_ms) {
  std::array<epoll_event, 512> events;
  const int count = ::epoll_wait(context_.epoll, events.data(), static_cast<int>(events.size()), timeout_ms);
  context_.now_ns = steady_ns();
  for (int i = 0; i < count; ++i) {
    if (events[static_cast<std::size_t>(i)].data.ptr == nullptr) {
      coap_->process();
      continue;
    }
    Link& link = *static_cast<Link*>(events[static_cast<std::size_t>(i)].data.ptr);
    link.on_ready(events[static_cast<std::size_t>(i)].events);
    mark(link);
  }
}

}  // namespace millrace::fleet
