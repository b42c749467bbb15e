#include "load/load.hpp"

#include <array>
#include <cerrno>
#include <cstring>

#include <netdb.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "load/coap_client.hpp"
#include "load/coap_link.hpp"
#include "load/http_link.hpp"
#include "load/mqtt_link.hpp"
#include "load/pacer.hpp"

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

double thread_cpu_us() {
  rusage usage{};
  ::getrusage(RUSAGE_THREAD, &usage);
  const auto us = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
  };
  return us(usage.ru_utime) + us(usage.ru_stime);
}

// The next one waits behind it.
bool one_at_a_time(Protocol protocol) {
  return protocol == Protocol::kHttp || protocol == Protocol::kCoap || protocol == Protocol::kCoaps;
}

constexpr std::int64_t kTickNs = 10 * kNsPerMs;
constexpr std::int64_t kWarmUpNs = 15'000 * kNsPerMs;

}  // namespace

Load::Load(const LoadOptions& options, const Readings& readings, const std::vector<Device>& devices, Outcome& outcome)
    : options_(options),
      readings_(readings),
      devices_(devices),
      outcome_(outcome),
      next_index_(devices.size(), 1),
      last_time_(devices.size(), 0) {}

Load::~Load() {
  links_.clear();
  if (context_.epoll >= 0) ::close(context_.epoll);
}

Status Load::open() {
  context_.epoll = ::epoll_create1(EPOLL_CLOEXEC);
  if (context_.epoll < 0) return Error{ErrorKind::kInternal, std::string("epoll: ") + std::strerror(errno)};
  context_.readings = &readings_;
  context_.outcome = &outcome_;
  context_.window = options_.window;
  context_.qos = options_.qos;
  context_.message_id_base = options_.message_id_base;
  context_.now_ns = steady_ns();
  for (std::size_t i = 0; i < devices_.size(); ++i) {
    if (auto status = add_link(i); !status) return status;
  }
  return {};
}

Status Load::add_link(std::size_t index) {
  const Device& device = devices_[index];
  const auto address = [&]() -> const Address& {
    switch (device.protocol) {
      case Protocol::kHttp:
        return options_.http;
      case Protocol::kCoap:
        return options_.coap;
      case Protocol::kCoaps:
        return options_.coaps;
      case Protocol::kMqtt311:
      case Protocol::kMqtt5:
        break;
    }
    return options_.mqtt;
  };
  const auto server = resolve(address());
  if (!server) return server.error();
  if (device.protocol == Protocol::kCoap || device.protocol == Protocol::kCoaps) {
    auto client = coap_client();
    if (!client) return client.error();
    links_.push_back(std::make_unique<CoapLink>(context_, index, device, *server, options_.tenant, **client));
  } else if (device.protocol == Protocol::kHttp) {
    links_.push_back(
        std::make_unique<HttpLink>(context_, index, device, *server, options_.tenant, options_.http.to_string()));
  } else {
    links_.push_back(std::make_unique<MqttLink>(context_, index, device, *server, options_.tenant));
  }
  return {};
}

Result<CoapClient*> Load::coap_client() {
  if (coap_) return coap_.get();
  coap_ = std::make_unique<CoapClient>();
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;  // no link's
  if (::epoll_ctl(context_.epoll, EPOLL_CTL_ADD, coap_->descriptor(), &event) != 0)
    return Error{ErrorKind::kInternal, std::string("epoll: ") + std::strerror(errno)};
  return coap_.get();
}

void Load::mark(Link& link) {
  if (link.dirty) return;
  link.dirty = true;
  marked_.push_back(&link);
}

void Load::flush_marked() {
  for (Link* link : marked_) {
    link->dirty = false;
    link->flush();
  }
  marked_.clear();
}

/// False when the device has nothing more to say.
bool Load::make_one(std::size_t device, std::int64_t due_ns) {
  if (next_index_[device] == 0) return false;
  auto message = readings_.make(device, next_index_[device], now_us_, last_time_[device]);
  if (!message) {
    next_index_[device] = 0;
    ++exhausted_;
    return false;
  }
  ++next_index_[device];
  last_time_[device] = message->time_us;
  message->due_ns = due_ns;
  outcome_.made(device, *message);
  links_[device]->add(*message);
  mark(*links_[device]);
  return true;
}

void Load::make_due() {
  now_us_ = now_us();
  if (!pacer_) {
    // As many as the windows take: what is due is what would be sent at once.
    for (std::size_t i = 0; i < links_.size(); ++i) {
      const std::size_t window = one_at_a_time(devices_[i].protocol) ? 2 : options_.window;
      while (links_[i]->in_flight() + links_[i]->waiting() < window && make_one(i, context_.now_ns)) {
      }
    }
    return;
  }
  const std::uint64_t backlog = outcome_.made_count - outcome_.acknowledged_count - outcome_.refused_count;
  if (options_.qos != 0 && backlog > options_.backlog_most) return;
  const std::uint64_t burst = pacer_->burst();
  for (std::uint64_t left = pacer_->due(context_.now_ns); left > 0 && exhausted_ < links_.size(); left -= burst) {
    for (std::uint64_t i = 0; i < burst; ++i) make_one(turn_, pacer_->due_ns(made_++));
    turn_ = (turn_ + 1) % links_.size();
  }
}

void Load::poll(int timeout_ms) {
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

LoadState Load::state() const {
  LoadState state;
  for (const auto& link : links_) {
    state.in_flight += link->in_flight();
    state.waiting += link->waiting();
    state.links_up += link->up() ? 1 : 0;
  }
  return state;
}

/// Connects before the first message is due, so that setting up is not counted as latency. A gateway that is away, or
/// does not know a new device yet, is waited for only so long: the links go on by themselves.
void Load::warm_up() {
  const std::int64_t give_up = context_.now_ns + kWarmUpNs;
  while (!stopping_ && !aborting_ && context_.now_ns < give_up && state().links_up < links_.size()) {
    for (const auto& link : links_) link->on_tick();
    poll(5);
    flush_marked();
  }
}

Result<LoadResult> Load::run(const std::function<void(const LoadState&)>& on_second) {
  if (Status status = open(); !status) return status.error();
  warm_up();
  const double cpu_before = thread_cpu_us();
  const std::int64_t start = context_.now_ns;
  if (options_.rate > 0) pacer_ = std::make_unique<Pacer>(options_.rate, devices_.size(), start);
  const std::int64_t end = options_.duration.count() == 0 ? INT64_MAX : start + options_.duration.count() * kNsPerMs;
  std::int64_t made_until = 0;
  std::int64_t next_tick = start;
  std::int64_t next_second = start + 1000 * kNsPerMs;
  while (!aborting_) {
    const bool making = made_until == 0;
    poll(making && options_.rate > 200 ? 1 : 5);
    if (making) make_due();
    if (making && (stopping_ || context_.now_ns >= end || exhausted_ == links_.size())) made_until = context_.now_ns;
    if (context_.now_ns >= next_tick) {
      next_tick = context_.now_ns + kTickNs;
      for (const auto& link : links_) link->on_tick();
    }
    flush_marked();
    if (context_.now_ns >= next_second) {
      next_second += 1000 * kNsPerMs;
      on_second(state());
    }
    if (made_until != 0) {
      const LoadState left = state();
      if (left.in_flight + left.waiting == 0) break;
      const auto drain = stopping_ ? options_.drain_when_stopped : options_.drain;
      if (context_.now_ns - made_until > drain.count() * kNsPerMs) break;
    }
  }
  if (made_until == 0) made_until = context_.now_ns;
  for (const auto& link : links_) link->close_politely();
  LoadResult result;
  result.seconds = static_cast<double>(made_until - start) * 1e-9;
  const std::uint64_t messages = options_.qos == 0 ? outcome_.sent_count.load() : outcome_.acknowledged_count.load();
  if (messages != 0) result.cpu_us_per_message = (thread_cpu_us() - cpu_before) / static_cast<double>(messages);
  return result;
}

}  // namespace millrace::fleet
