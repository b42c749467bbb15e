#include "load/tcp_link.hpp"

#include <array>
#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace millrace::fleet {
namespace {

constexpr std::int64_t kConnectNs = 10'000 * kNsPerMs;
/// Bytes waiting for the socket beyond which no further message is encoded.
constexpr std::size_t kOutMost = 256 * 1024;
/// More than a listener's backlog at once would only be told to wait, by lost SYNs.
constexpr std::size_t kSettingUpMost = 2000;

}  // namespace

TcpLink::TcpLink(LinkContext& context, std::size_t index, const Device& device, const sockaddr_in& server,
                 const WireOptions& wire)
    : Link(context, index, device), server_(server) {
  if (!wire.plain()) wire_.emplace(wire);
}

TcpLink::~TcpLink() {
  end_setting_up();
  if (fd_ >= 0) ::close(fd_);
}

// The port is chosen by connect(), which knows the other end.
bool TcpLink::bind_source() {
  if (context_.source.s_addr == 0) return true;
  const int one = 1;
  sockaddr_in source{};
  source.sin_family = AF_INET;
  source.sin_addr = context_.source;
  return ::setsockopt(fd_, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one) == 0 &&
         ::bind(fd_, reinterpret_cast<const sockaddr*>(&source), sizeof source) == 0;
}

void TcpLink::end_setting_up() {
  if (setting_up_) --context_.setting_up;
  setting_up_ = false;
}

void TcpLink::connect() {
  setting_up_ = true;
  ++context_.setting_up;
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0 || !bind_source()) return lose();
  const int one = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  state_ = State::kConnecting;
  wire_started_ = false;
  connect_by_ns_ = context_.now_ns + kConnectNs;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT;
  event.data.ptr = this;
  watching_writable_ = true;
  if (::epoll_ctl(context_.epoll, EPOLL_CTL_ADD, fd_, &event) != 0) return lose();
  if (::connect(fd_, reinterpret_cast<const sockaddr*>(&server_), sizeof server_) == 0) return on_ready(EPOLLOUT);
  if (errno != EINPROGRESS) lose();
}

void TcpLink::opened() {
  state_ = State::kOpen;
  heard_ns_ = context_.now_ns;
  on_open();
}

void TcpLink::set_up() {
  end_setting_up();
  state_ = State::kUp;
  backoff_.reset();
  context_.outcome->connected();
}

void TcpLink::lose(std::int64_t least_ms) {
  end_setting_up();
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
  if (state_ == State::kUp) context_.outcome->lost_connection();
  const bool was_open = state_ == State::kOpen || state_ == State::kUp;
  state_ = State::kDown;
  in_.clear();
  out_.clear();
  retry_ns_ = context_.now_ns + std::max<std::int64_t>(backoff_.next().count(), least_ms) * kNsPerMs;
  if (was_open) on_lost();
}

void TcpLink::on_ready(std::uint32_t events) {
  if (state_ == State::kConnecting) {
    int error = 0;
    socklen_t size = sizeof error;
    if (::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) return lose();
    if (opening(events)) opened();
    return;
  }
  if (state_ != State::kDown && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) read();
}

// Whether the conversation may begin. After an end of the connection state_ is kDown.
bool TcpLink::opening(std::uint32_t events) {
  if (!wire_) return (events & EPOLLOUT) != 0;
  if (!wire_started_) {
    if ((events & EPOLLOUT) == 0) return false;
    wire_started_ = true;
    if (!wire_->start(fd_)) return lose(), false;
  }
  const Wire::Progress progress = wire_->open();
  if (progress == Wire::Progress::kBroken) return lose(), false;
  if (progress == Wire::Progress::kWaiting) watch(wire_->wants_write());
  return progress == Wire::Progress::kDone;
}

void TcpLink::read_wire() {
  const std::size_t had = in_.size();
  if (wire_->receive(in_) == Wire::Progress::kBroken) return lose();
  if (in_.size() == had) return;
  const std::string input = std::exchange(in_, {});
  take(input);
}

void TcpLink::read() {
  if (wire_) return read_wire();
  thread_local std::array<char, 64 * 1024> buffer;
  const ssize_t size = ::recv(fd_, buffer.data(), buffer.size(), 0);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) return lose();
  std::string_view input(buffer.data(), static_cast<std::size_t>(size));
  if (!in_.empty()) {
    in_.append(input);
    input = in_;
  }
  take(input);
}

void TcpLink::take(std::string_view input) {
  heard_ns_ = context_.now_ns;
  if (!on_bytes(input)) {
    if (state_ != State::kDown) lose();
    return;
  }
  if (state_ == State::kDown) return;
  std::string rest(input);
  in_ = std::move(rest);
}

void TcpLink::flush() {
  if (state_ == State::kDown || state_ == State::kConnecting) return;
  if (state_ == State::kUp && out_.size() < kOutMost) pump();
  write();
}

void TcpLink::write() {
  if (wire_) {
    const std::size_t had = out_.size();
    const Wire::Progress progress = wire_->send(out_);
    if (progress == Wire::Progress::kBroken) return lose();
    if (out_.size() < had) wrote_ns_ = context_.now_ns;
    return watch(progress == Wire::Progress::kWaiting);
  }
  std::size_t written = 0;
  while (written < out_.size()) {
    const ssize_t size = ::send(fd_, out_.data() + written, out_.size() - written, MSG_NOSIGNAL);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) break;
    if (size < 0) return lose();
    written += static_cast<std::size_t>(size);
    wrote_ns_ = context_.now_ns;
  }
  out_.erase(0, written);
  watch(!out_.empty());
}

void TcpLink::watch(bool writable) {
  if (writable == watching_writable_) return;
  epoll_event event{};
  event.events = writable ? (EPOLLIN | EPOLLOUT) : EPOLLIN;
  event.data.ptr = this;
  if (::epoll_ctl(context_.epoll, EPOLL_CTL_MOD, fd_, &event) == 0) watching_writable_ = writable;
}

void TcpLink::on_tick() {
  switch (state_) {
    case State::kDown:
      if (context_.now_ns >= retry_ns_ && context_.setting_up < kSettingUpMost) connect();
      break;
    case State::kConnecting:
      if (context_.now_ns >= connect_by_ns_) lose();
      break;
    case State::kOpen:
    case State::kUp:
      if (!alive()) lose();
      break;
  }
}

void TcpLink::close_politely() {
  end_setting_up();
  if (state_ == State::kUp) {
    on_goodbye();
    write();
  }
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
  state_ = State::kDown;
}

}  // namespace millrace::fleet
